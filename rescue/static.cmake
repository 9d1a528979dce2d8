# static_program(NAME MAIN ROOMS rooms... LIBS archives...): as program(), but linked
# statically.  The rooms are named one by one, since what they bring along are shared
# libraries by their full paths.
function(static_program name main)
	cmake_parse_arguments(S "" "" "ROOMS;LIBS" ${ARGN})
	add_executable(${name} ${PROJECT_SOURCE_DIR}/${main})
	target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}
	    ${PROJECT_BINARY_DIR}/generated)
	set(archives)
	foreach(room ${S_ROOMS})
		list(APPEND archives $<TARGET_FILE:${room}>)
		add_dependencies(${name} ${room})
		set_property(TARGET ${name} APPEND PROPERTY LINK_DEPENDS $<TARGET_FILE:${room}>)
	endforeach()
	foreach(lib ${S_LIBS})
		find_library(${lib}_archive lib${lib}.a REQUIRED)
		list(APPEND archives ${${lib}_archive})
	endforeach()
	# glibc says of getaddrinfo() that it wants shared libraries for nsswitch.conf's
	# odder services; files and dns are inside since 2.34.
	target_link_libraries(${name} PRIVATE -static-pie -Wl,--no-warnings -Wl,--start-group
	    ${archives} ${MBEDTLS_ROOT}/lib/libmbedtls.a ${MBEDTLS_ROOT}/lib/libmbedx509.a
	    ${MBEDTLS_ROOT}/lib/libmbedcrypto.a -Wl,--end-group m)
	set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin)
endfunction()
