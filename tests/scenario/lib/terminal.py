#!/usr/bin/env python3
"""terminal.py SCRIPT COMMAND... - a person at a VT100 of 80 x 25.

SCRIPT's lines, read as the program goes:
    see TEXT        wait until the screen shows TEXT
    gone TEXT       wait until it does not
    type TEXT       press these keys
    press NAME...   enter, esc, tab, up, down, left, right
    run COMMAND     in a shell, $SCREEN names a file with the screen
    save FILE       keep the screen
    end STATUS      the program ends with it
Fails, with the screen, on the first thing that does not come within five minutes.
"""
import os, pty, re, select, signal, subprocess, sys, time, fcntl, struct, termios

WIDTH, HEIGHT, PATIENCE = 80, 25, 300
KEYS = {'enter': '\r', 'esc': '\x1b', 'tab': '\t', 'up': '\x1b[A', 'down': '\x1b[B', 'right': '\x1b[C', 'left': '\x1b[D'}


class Screen:
    def __init__(self):
        self.cells = [[' '] * WIDTH for _ in range(HEIGHT)]
        self.y = self.x = 0
        self.rest = ''

    def feed(self, text):
        self.rest += text
        while self.rest:
            if self.rest[0] == '\x1b':
                m = re.match(r'\x1b\[(\??[0-9;]*)([A-Za-z])', self.rest)
                if not m:
                    if len(self.rest) > 20:
                        raise SystemExit('terminal: an unknown sequence: %r' % self.rest[:20])
                    return
                self.rest = self.rest[m.end():]
                self.escape(m.group(1), m.group(2))
                continue
            c, self.rest = self.rest[0], self.rest[1:]
            if c == '\r':
                self.x = 0
            elif c == '\n':
                if self.y + 1 == HEIGHT:
                    self.cells = self.cells[1:] + [[' '] * WIDTH]
                else:
                    self.y += 1
            elif c >= ' ':
                if self.x >= WIDTH:
                    raise SystemExit('terminal: written past the edge')
                self.cells[self.y][self.x] = c
                self.x += 1

    def escape(self, parameters, final):
        if final == 'H':
            y, x = (parameters or '1;1').split(';')
            self.y, self.x = int(y) - 1, int(x) - 1
            if not (0 <= self.y < HEIGHT and 0 <= self.x < WIDTH):
                raise SystemExit('terminal: the cursor left the screen')
        elif final == 'J':
            self.cells = [[' '] * WIDTH for _ in range(HEIGHT)]
        elif final == 'K':
            self.cells[self.y][self.x:] = [' '] * (WIDTH - self.x)
        elif final not in 'mhl':
            raise SystemExit('terminal: not a VT100 sequence: %r%s' % (parameters, final))

    def text(self):
        return '\n'.join(''.join(row).rstrip() for row in self.cells)


class Person:
    def __init__(self, command):
        self.screen = Screen()
        self.status = None
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack('HHHH', HEIGHT, WIDTH, 0, 0))
            os.execvp(command[0], command)

    def look(self, seconds):
        """What comes within that time; False at the end."""
        ready, _, _ = select.select([self.fd], [], [], seconds)
        if not ready:
            return True
        try:
            data = os.read(self.fd, 65536)
        except OSError:
            data = b''
        self.screen.feed(data.decode('ascii'))
        return bool(data)

    def wait(self, what, holds):
        end = time.monotonic() + PATIENCE
        while not holds():
            if not self.look(0.1) and not holds():
                self.fail('the program ended before: ' + what)
            if time.monotonic() > end:
                self.fail('waited too long for: ' + what)

    def fail(self, why):
        sys.stderr.write('terminal: %s; the screen:\n%s\n' % (why, self.screen.text()))
        os.kill(self.pid, signal.SIGKILL)
        sys.exit(1)

    def end(self, status):
        end = time.monotonic() + PATIENCE
        while self.look(0.1):
            if time.monotonic() > end:
                self.fail('it does not end')
        _, got = os.waitpid(self.pid, 0)
        if os.waitstatus_to_exitcode(got) != status:
            sys.stderr.write('terminal: ended with %d; the screen:\n%s\n' % (os.waitstatus_to_exitcode(got), self.screen.text()))
            sys.exit(1)

    def do(self, verb, rest):
        if verb == 'see':
            self.wait(rest, lambda: rest in self.screen.text())
        elif verb == 'gone':
            self.wait('no ' + rest, lambda: rest not in self.screen.text())
        elif verb == 'type':
            os.write(self.fd, rest.encode())
        elif verb == 'press':
            for name in rest.split():
                os.write(self.fd, KEYS[name].encode())
        elif verb == 'save':
            with open(rest, 'w') as f:
                f.write(self.screen.text() + '\n')
        elif verb == 'run':
            path = os.environ.get('TMPDIR', '/tmp') + '/screen.%d' % os.getpid()
            with open(path, 'w') as f:
                f.write(self.screen.text() + '\n')
            if subprocess.run(rest, shell=True, executable='/bin/bash', env=dict(os.environ, SCREEN=path)).returncode != 0:
                self.fail('failed: ' + rest)
            os.unlink(path)
        elif verb == 'end':
            self.end(int(rest))
        else:
            raise SystemExit('terminal: no verb ' + verb)


def main():
    person = Person(sys.argv[2:])
    for line in open(sys.argv[1]):
        line = line.strip()
        if line and line[0] != '#':
            verb, _, rest = line.partition(' ')
            person.do(verb, rest)


main()
