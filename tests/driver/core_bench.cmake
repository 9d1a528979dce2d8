# Measured by ./dev bench driver alone.
target_link_libraries(core_bench PRIVATE m)
