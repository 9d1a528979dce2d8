# sweep/: one program, each work of it a test; storage/DESIGN.md's crash table is
# checked against it.  Nothing in it is about threads.
if(NOT SANITIZE STREQUAL "thread")
	file(GLOB sweep CONFIGURE_DEPENDS unit/storage/sweep/*.c)
	add_executable(store_sweep ${sweep})
	target_link_libraries(store_sweep PRIVATE storage PkgConfig::cmocka)
endif()
