# windows.cmake - included by CMakeLists.txt for Windows: what every file and
# program of ours is compiled and linked with there.

# Windows Server 2012 is the oldest that runs us; newer calls are looked up at run
# time.  printf as C has it, not as msvcrt.dll does; gmtime_r and 64-bit off_t.
add_compile_definitions(_WIN32_WINNT=0x0602 WINVER=0x0602 __USE_MINGW_ANSI_STDIO=1
    _POSIX_C_SOURCE=200809L _FILE_OFFSET_BITS=64)
# No path of the build machine in what is shipped.
add_compile_options(-fstack-protector-strong "-ffile-prefix-map=${PROJECT_SOURCE_DIR}=."
    "-ffile-prefix-map=${PROJECT_BINARY_DIR}=build")
# MinGW's linker has no Control Flow Guard.
# -static: no DLL but the system's.  No timestamp: the same sources, the same bytes.
add_link_options(-static -fstack-protector-strong -Wl,--fatal-warnings
    -Wl,--dynamicbase,--nxcompat,--high-entropy-va,--no-insert-timestamp)
# What the C library has no functions for.
string(APPEND CMAKE_C_STANDARD_LIBRARIES
    " -lws2_32 -liphlpapi -lsetupapi -luserenv -lpsapi -lbcrypt -lcrypt32 -ldbghelp")
