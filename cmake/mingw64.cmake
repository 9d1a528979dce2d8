# CMake toolchain file: x86_64 Windows by MinGW-w64, with its POSIX threads.
# HOLDFAST_WINDOWS_LIBS: the libraries as cmake/build-windows-libs.sh leaves them.
set(CMAKE_SYSTEM_NAME Windows)
set(CMAKE_SYSTEM_PROCESSOR x86_64)
set(CMAKE_C_COMPILER x86_64-w64-mingw32-gcc-posix)
set(CMAKE_RC_COMPILER x86_64-w64-mingw32-windres)
set(CMAKE_TRY_COMPILE_PLATFORM_VARIABLES HOLDFAST_WINDOWS_LIBS)
set(CMAKE_FIND_ROOT_PATH /usr/x86_64-w64-mingw32 ${HOLDFAST_WINDOWS_LIBS})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
# Never the build machine's own libraries.
set(ENV{PKG_CONFIG_LIBDIR} ${HOLDFAST_WINDOWS_LIBS}/lib/pkgconfig)
set(ENV{PKG_CONFIG_PATH} "")
