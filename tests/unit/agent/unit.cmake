# The whole path against a real server in the same process.
target_link_libraries(whole_test PRIVATE server)
target_link_libraries(tree_reader_test PRIVATE server)
target_link_libraries(joined_linux_test PRIVATE server)
