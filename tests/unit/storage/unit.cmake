# sweep/: every call of every operation fails.  A share of it in each build, all with
# ./dev soak sweep; there is nothing in it about threads.
if(NOT SANITIZE STREQUAL "thread")
	file(GLOB sweep CONFIGURE_DEPENDS unit/storage/sweep/*.c)
	add_executable(store_sweep ${sweep})
	target_link_libraries(store_sweep PRIVATE storage PkgConfig::cmocka)
	set(stride 149)
	if(SANITIZE STREQUAL "address")
		set(stride 997)
	endif()
	set(sweep ${CMAKE_CURRENT_SOURCE_DIR}/unit/storage/sweep/sweep_table.txt
	    ${PROJECT_SOURCE_DIR}/storage/DESIGN.md)
	add_test(NAME unit/storage/sweep COMMAND store_sweep ${sweep} --stride ${stride})
	# The crash table of DESIGN.md: its rows are what is done, and nothing else is.
	add_test(NAME unit/storage/sweep-steps COMMAND store_sweep ${sweep} --steps)
	set_tests_properties(unit/storage/sweep unit/storage/sweep-steps PROPERTIES
	    TIMEOUT 600 LABELS unit)
endif()

# unit/storage/gc: the explorer of collecting, on what is shipped, and on a build of
# storage in which single lines can be taken away.  It has one thread: none under TSan.
file(GLOB explore CONFIGURE_DEPENDS unit/storage/gc/*.c)
if(NOT SANITIZE STREQUAL "thread")
	add_executable(gc_explore ${explore})
	target_link_libraries(gc_explore PRIVATE storage PkgConfig::libsodium)
	set(worlds 100)
	if(NOT SANITIZE STREQUAL "")
		set(worlds 20)
	endif()
	add_test(NAME unit/storage/gc_explore COMMAND gc_explore ${worlds})
	set_tests_properties(unit/storage/gc_explore PROPERTIES TIMEOUT 600 LABELS unit)
endif()
if(SANITIZE STREQUAL "")
	# What has such lines is compiled anew and linked before the library that has it, too.
	file(GLOB storage_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/storage/*.c)
	foreach(source ${storage_sources})
		file(STRINGS ${source} lines REGEX "storage/gc_mutant.h")
		if(lines)
			list(APPEND mutable ${source})
		endif()
	endforeach()
	add_library(gc_mutable OBJECT ${mutable})
	target_compile_definitions(gc_mutable PUBLIC GC_MUTANTS)
	target_link_libraries(gc_mutable PRIVATE storage PkgConfig::libsodium)
	target_include_directories(gc_mutable PUBLIC ${PROJECT_SOURCE_DIR})
	add_executable(gc_mutants ${explore})
	target_link_libraries(gc_mutants PRIVATE gc_mutable storage PkgConfig::libsodium)
	add_test(NAME unit/storage/gc_mutants COMMAND gc_mutants -x 600)
	# The lines that take the explorer long to miss: by tests that miss them at once.
	add_executable(gc_test_mutants unit/storage/gc_test.c)
	target_link_libraries(gc_test_mutants PRIVATE gc_mutable storage PkgConfig::cmocka)
	add_test(NAME unit/storage/gc_test_mutants COMMAND gc_test_mutants)
	set_tests_properties(unit/storage/gc_mutants unit/storage/gc_test_mutants PROPERTIES
	    TIMEOUT 900 LABELS unit)
endif()

# Between fs_posix.c and the C library.
foreach(call pread64 pwrite64 openat64 fsync fdatasync ftruncate64 flock)
	target_link_options(fs_interrupt_test PRIVATE -Wl,--wrap=${call})
endforeach()
