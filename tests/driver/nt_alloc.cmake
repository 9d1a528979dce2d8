# One host thread: nothing for TSan, under which a look at the call stack takes long.
if(NOT SANITIZE STREQUAL "thread")
	add_test(NAME driver/nt_alloc COMMAND nt_alloc)
	set_tests_properties(driver/nt_alloc PROPERTIES TIMEOUT 600 LABELS unit)
endif()
