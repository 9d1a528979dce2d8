# The operator's commands are a room of their own.
target_link_libraries(cli_format_test PRIVATE cli)
