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

# A program that is run from a download directory must not take DLLs that lie there.  Those
# that every Windows has as "known DLLs" it never looks for there; of the others everything
# that is used is named here and loaded late, when command_system_begin() has said where
# from (learn.microsoft.com/windows/win32/dlls/dynamic-link-library-search-order).
# check_pe.py tells what is missing.
set(late_userenv GetUserProfileDirectoryW)
set(late_iphlpapi ConvertInterfaceIndexToLuid ConvertInterfaceLuidToNameW FreeMibTable
    GetAdaptersAddresses GetIfTable2)
set(late_crypt32 CryptProtectData CryptUnprotectData)
find_program(DLLTOOL x86_64-w64-mingw32-dlltool REQUIRED)
function(late_dlls target)
	foreach(dll userenv iphlpapi crypt32)
		set(late ${PROJECT_BINARY_DIR}/generated/late/${dll})
		string(REPLACE ";" "\n" names "${late_${dll}}")
		file(CONFIGURE OUTPUT ${late}.def CONTENT "LIBRARY ${dll}.dll\nEXPORTS\n${names}\n")
		execute_process(COMMAND ${DLLTOOL} -m i386:x86-64 -d ${late}.def -y ${late}.a
		    COMMAND_ERROR_IS_FATAL ANY)
		target_link_options(${target} PRIVATE
		    LINKER:--whole-archive,${late}.a,--no-whole-archive)
	endforeach()
endfunction()
