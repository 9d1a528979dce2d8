# The core's own sources once more, with atomic.h of order/.  Sanitizers know no tasks
# that share a stack's thread.
if(SANITIZE STREQUAL "")
	file(GLOB order_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/driver/core/track*.c)
	target_sources(track_order PRIVATE ${order_sources}
	    ${PROJECT_SOURCE_DIR}/driver/core/bits.c)
	target_include_directories(track_order BEFORE PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/order)
	add_test(NAME driver/track_order COMMAND track_order)
	set_tests_properties(driver/track_order PROPERTIES TIMEOUT 600 LABELS model)
endif()
