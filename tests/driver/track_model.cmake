# Two halves, each with worlds of its own, side by side; a few under the sanitizers.  A
# million: ./dev soak track 1.
set(lives 150000)
if(NOT SANITIZE STREQUAL "")
	set(lives 10000)
endif()
foreach(half 1 2)
	add_test(NAME driver/track_model-${half} COMMAND track_model ${lives} ${half}000000)
	set_tests_properties(driver/track_model-${half} PROPERTIES TIMEOUT 600 LABELS model)
endforeach()
if(SANITIZE STREQUAL "")
	add_test(NAME driver/track_mutants COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/track_mutants.py)
	set_tests_properties(driver/track_mutants PROPERTIES TIMEOUT 600 LABELS model
	    ENVIRONMENT "PYTHONDONTWRITEBYTECODE=1")
endif()
