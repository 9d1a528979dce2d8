# Judges what others ran: tests/scenario/a-mounted-volume-is-frozen-while-it-changes.sh.
