# The interop tests' other side, linked with an mbedTLS that has none of our hooks.
add_executable(plain_peer unit/tls/plain_peer_main.c)
target_link_libraries(plain_peer PRIVATE mbedtls_plain)
target_compile_definitions(tls_interop_test PRIVATE PLAIN_PEER="$<TARGET_FILE:plain_peer>")
add_dependencies(tls_interop_test plain_peer)
