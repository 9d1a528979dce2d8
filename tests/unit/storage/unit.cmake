# sweep/: every call of every operation fails.  A share of it in each build, all with
# ./dev soak sweep; there is nothing in it about threads.
if(NOT SANITIZE STREQUAL "thread")
	file(GLOB sweep CONFIGURE_DEPENDS unit/storage/sweep/*.c)
	add_executable(store_sweep ${sweep})
	target_link_libraries(store_sweep PRIVATE storage PkgConfig::cmocka)
	set(stride 61)
	if(SANITIZE STREQUAL "address")
		set(stride 307)
	endif()
	set(sweep ${CMAKE_CURRENT_SOURCE_DIR}/unit/storage/sweep/sweep_table.txt
	    ${PROJECT_SOURCE_DIR}/storage/DESIGN.md)
	add_test(NAME unit/storage/sweep COMMAND store_sweep ${sweep} --stride ${stride})
	set_tests_properties(unit/storage/sweep PROPERTIES TIMEOUT 600 LABELS unit)
endif()
