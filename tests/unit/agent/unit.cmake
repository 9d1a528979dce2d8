# The whole path against a real server in the same process.
test_links(whole_test server)
test_links(tree_reader_test server)
test_links(joined_linux_test server)

# The driver's simulator in process.
test_links(tracking_test driver driver_sim)
test_links(around_linux_test driver driver_sim)
test_links(snapshot_hotcopy_test driver driver_sim)
test_links(hotcopy_calls_linux_test driver driver_sim)
test_links(command_driver_linux_test driver driver_sim)
test_links(snapshot_hotcopy_fault_test driver driver_sim)
test_links(snapshot_hotcopy_room_test driver driver_sim)
test_links(snapshot_hotcopy_freed_test driver driver_sim)
test_links(capture_begin_test driver driver_sim)
test_links(state_full_linux_test server driver driver_sim)
