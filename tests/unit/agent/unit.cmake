# The whole path against a real server in the same process.
target_link_libraries(whole_test PRIVATE server)
target_link_libraries(tree_reader_test PRIVATE server)
target_link_libraries(joined_linux_test PRIVATE server)

# The driver's simulator in process.
target_link_libraries(tracking_test PRIVATE driver driver_sim)
target_link_libraries(around_linux_test PRIVATE driver driver_sim)
target_link_libraries(snapshot_hotcopy_test PRIVATE driver driver_sim)
target_link_libraries(hotcopy_calls_linux_test PRIVATE driver driver_sim)
target_link_libraries(command_driver_linux_test PRIVATE driver driver_sim)
target_link_libraries(snapshot_hotcopy_fault_test PRIVATE driver driver_sim)
target_link_libraries(snapshot_hotcopy_freed_test PRIVATE driver driver_sim)
target_link_libraries(capture_begin_test PRIVATE driver driver_sim)
