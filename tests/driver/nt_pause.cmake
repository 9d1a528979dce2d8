# One thread is stopped while another works: order, and no race, is what it shows.
if(NOT SANITIZE STREQUAL "thread")
	add_test(NAME driver/nt_pause COMMAND nt_pause)
	set_tests_properties(driver/nt_pause PROPERTIES TIMEOUT 600 LABELS unit)
endif()
