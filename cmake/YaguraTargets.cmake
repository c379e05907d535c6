# The six ways a target comes to be: yagura_proto_library, yagura_library, yagura_program, yagura_test,
# yagura_bench, yagura_fuzz. They keep flags, include paths and output folders in one place.

set(YAGURA_GEN_DIR "${CMAKE_BINARY_DIR}/gen")

# Adds every folder below the given ones that has a CMakeLists.txt, in the order given.
function(yagura_add_rooms)
  foreach(room ${ARGN})
    file(GLOB_RECURSE lists CONFIGURE_DEPENDS RELATIVE "${CMAKE_SOURCE_DIR}"
         "${CMAKE_SOURCE_DIR}/${room}/CMakeLists.txt")
    list(SORT lists)
    foreach(list ${lists})
      get_filename_component(folder "${list}" DIRECTORY)
      add_subdirectory("${folder}")
    endforeach()
  endforeach()
endfunction()

function(yagura_mark_generated target)
  if(NOT YAGURA_SANITIZE MATCHES "thread")
    set_target_properties(${target} PROPERTIES YAGURA_GENERATED ON)
  endif()
endfunction()

# yagura_proto_library(NAME proto_event FILES yagura/event/v1/event.proto ... [DEPS proto_x ...])
# Messages go to target NAME; services in files named *_service.proto also get client stubs in the
# target NAME_grpc. FILES are relative to ROOT where one is given (protos of tests, which are no part of
# the contract), else to protos/ or protos/third_party/.
function(yagura_proto_library)
  cmake_parse_arguments(ARG "" "NAME;ROOT" "FILES;DEPS" ${ARGN})
  set(message_sources)
  set(grpc_sources)
  foreach(file ${ARG_FILES})
    set(root "${CMAKE_SOURCE_DIR}/protos")
    set(import_root)
    if(ARG_ROOT)
      set(root "${ARG_ROOT}")
      set(import_root -I "${ARG_ROOT}")
    elseif(NOT EXISTS "${root}/${file}")
      set(root "${CMAKE_SOURCE_DIR}/protos/third_party")
    endif()
    string(REGEX REPLACE "\\.proto$" "" stem "${file}")
    set(outputs "${YAGURA_GEN_DIR}/${stem}.pb.cc" "${YAGURA_GEN_DIR}/${stem}.pb.h")
    set(plugin)
    if(stem MATCHES "_service$" AND NOT YAGURA_WITHOUT_GRPC)
      set(grpc_outputs "${YAGURA_GEN_DIR}/${stem}.grpc.pb.cc" "${YAGURA_GEN_DIR}/${stem}.grpc.pb.h")
      list(APPEND outputs ${grpc_outputs})
      list(APPEND grpc_sources ${grpc_outputs})
      set(plugin --grpc_out=${YAGURA_GEN_DIR}
                 --plugin=protoc-gen-grpc=${GRPC_CPP_PLUGIN_PROGRAM})
    endif()
    list(APPEND message_sources "${YAGURA_GEN_DIR}/${stem}.pb.cc" "${YAGURA_GEN_DIR}/${stem}.pb.h")
    add_custom_command(
      OUTPUT ${outputs}
      COMMAND "${CMAKE_COMMAND}" -E make_directory "${YAGURA_GEN_DIR}"
      COMMAND "${PROTOC_PROGRAM}" --cpp_out=${YAGURA_GEN_DIR} ${plugin}
              ${import_root} -I "${CMAKE_SOURCE_DIR}/protos/third_party" -I "${CMAKE_SOURCE_DIR}/protos"
              "${root}/${file}"
      DEPENDS "${root}/${file}"
      VERBATIM)
  endforeach()
  add_library(${ARG_NAME} STATIC ${message_sources})
  target_include_directories(${ARG_NAME} SYSTEM PUBLIC "${YAGURA_GEN_DIR}")
  target_compile_options(${ARG_NAME} PRIVATE -w)
  yagura_mark_generated(${ARG_NAME})
  target_link_libraries(${ARG_NAME} PUBLIC protobuf::libprotobuf ${ARG_DEPS})
  # Generated headers of what we import must exist before we compile.
  if(ARG_DEPS)
    add_dependencies(${ARG_NAME} ${ARG_DEPS})
  endif()
  if(grpc_sources)
    add_library(${ARG_NAME}_grpc STATIC ${grpc_sources})
    target_compile_options(${ARG_NAME}_grpc PRIVATE -w)
    yagura_mark_generated(${ARG_NAME}_grpc)
    target_link_libraries(${ARG_NAME}_grpc PUBLIC ${ARG_NAME} gRPC::grpc++)
  endif()
endfunction()

# yagura_library(NAME common_redis SRCS a.cc ... [DEPS ...] [HOT])
# HOT: on the path of every event, built with -O3. A header-only library leaves SRCS empty.
function(yagura_library)
  cmake_parse_arguments(ARG "HOT" "NAME" "SRCS;DEPS" ${ARGN})
  if(ARG_SRCS)
    add_library(${ARG_NAME} STATIC ${ARG_SRCS})
    target_include_directories(${ARG_NAME} PUBLIC "${CMAKE_SOURCE_DIR}")
    target_link_libraries(${ARG_NAME} PUBLIC ${ARG_DEPS} Threads::Threads PRIVATE yagura_warnings)
    if(ARG_HOT AND CMAKE_BUILD_TYPE STREQUAL "Release" AND NOT YAGURA_SANITIZE)
      target_compile_options(${ARG_NAME} PRIVATE -O3)
    endif()
  else()
    add_library(${ARG_NAME} INTERFACE)
    target_include_directories(${ARG_NAME} INTERFACE "${CMAKE_SOURCE_DIR}")
    target_link_libraries(${ARG_NAME} INTERFACE ${ARG_DEPS})
  endif()
endfunction()

# An allocator is nothing that code refers to: the linker must not drop it as needless.
function(yagura_use_jemalloc target)
  if(NOT YAGURA_SANITIZE)
    target_link_options(${target} PRIVATE LINKER:--push-state,--no-as-needed ${JEMALLOC_LINK_LIBRARIES}
                                          LINKER:--pop-state)
  endif()
endfunction()

# yagura_program(NAME yagura-archive SRCS main.cc DEPS ... [OWN_ALLOCATOR]): lands in
# build/<preset>/bin/. OWN_ALLOCATOR: it brings one along; others get jemalloc (docs/adr/0008), but
# under a sanitizer, which brings its own.
function(yagura_program)
  cmake_parse_arguments(ARG "OWN_ALLOCATOR" "NAME" "SRCS;DEPS" ${ARGN})
  add_executable(${ARG_NAME} ${ARG_SRCS})
  target_include_directories(${ARG_NAME} PRIVATE "${CMAKE_SOURCE_DIR}")
  target_link_libraries(${ARG_NAME} PRIVATE ${ARG_DEPS} yagura_warnings)
  if(NOT ARG_OWN_ALLOCATOR)
    yagura_use_jemalloc(${ARG_NAME})
  endif()
  set_property(GLOBAL APPEND PROPERTY YAGURA_PROGRAMS ${ARG_NAME})
endfunction()

# yagura_test(NAME common_redis_test SRCS ... DEPS ... [TIMEOUT seconds] [LABELS ...] [SERIAL])
# One program an area, one ctest entry a program (GoogleTest prints the cases). Tests find programs
# built beside them in $YAGURA_BIN_DIR and the source tree in $YAGURA_SOURCE_DIR. SERIAL: runs alone.
function(yagura_test)
  cmake_parse_arguments(ARG "SERIAL" "NAME;TIMEOUT" "SRCS;DEPS;LABELS;PROGRAMS" ${ARGN})
  # Without gRPC some libraries do not exist, and the tests of what calls over them neither.
  if(YAGURA_WITHOUT_GRPC)
    foreach(needed IN LISTS ARG_DEPS ARG_PROGRAMS)
      if(NOT TARGET ${needed})
        message(STATUS "${ARG_NAME} is left out: it needs ${needed}")
        return()
      endif()
    endforeach()
  endif()
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  set(environment "YAGURA_BIN_DIR=${CMAKE_RUNTIME_OUTPUT_DIRECTORY}"
                  "YAGURA_SOURCE_DIR=${CMAKE_SOURCE_DIR}")
  if(YAGURA_SANITIZE)
    math(EXPR ARG_TIMEOUT "${ARG_TIMEOUT} * ${YAGURA_PATIENCE}")
    list(APPEND environment "YAGURA_PATIENCE=${YAGURA_PATIENCE}" ${YAGURA_SANITIZER_ENVIRONMENT})
  endif()
  add_executable(${ARG_NAME} ${ARG_SRCS})
  set_target_properties(${ARG_NAME} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/tests")
  target_include_directories(${ARG_NAME} PRIVATE "${CMAKE_SOURCE_DIR}")
  target_link_libraries(${ARG_NAME} PRIVATE ${ARG_DEPS} GTest::gmock_main yagura_warnings)
  if(ARG_PROGRAMS)
    add_dependencies(${ARG_NAME} ${ARG_PROGRAMS})
  endif()
  add_test(NAME ${ARG_NAME} COMMAND ${ARG_NAME})
  set_tests_properties(${ARG_NAME} PROPERTIES
    TIMEOUT ${ARG_TIMEOUT}
    LABELS "${ARG_LABELS}"
    ENVIRONMENT "${environment}")
  if(YAGURA_SANITIZE)
    set_tests_properties(${ARG_NAME} PROPERTIES FIXTURES_REQUIRED sanitizer_reports)
  endif()
  if(ARG_SERIAL)
    set_tests_properties(${ARG_NAME} PROPERTIES RUN_SERIAL ON)
  endif()
endfunction()

# Sanitizers write what they find into a folder: a child that a test kills or does not ask for its
# exit code is heard, too. The test sanitizer_reports prints it after the others and fails.
set(YAGURA_PATIENCE 4)  # how many times slower a sanitized test may be, see common/testing/patience.h
set(reports "${CMAKE_BINARY_DIR}/reports")
set(YAGURA_SANITIZER_ENVIRONMENT
  "ASAN_OPTIONS=log_path=${reports}/asan:detect_stack_use_after_return=1:strict_string_checks=1"
  "LSAN_OPTIONS=suppressions=${CMAKE_SOURCE_DIR}/cmake/lsan.supp:print_suppressions=0"
  "UBSAN_OPTIONS=log_path=${reports}/ubsan:print_stacktrace=1"
  "TSAN_OPTIONS=log_path=${reports}/tsan:suppressions=${CMAKE_SOURCE_DIR}/cmake/tsan.supp:print_suppressions=0:second_deadlock_stack=1")
if(YAGURA_SANITIZE)
  add_test(NAME sanitizer_reports_begin COMMAND sh -c "rm -rf '${reports}' && mkdir -p '${reports}'")
  add_test(NAME sanitizer_reports COMMAND sh "${CMAKE_SOURCE_DIR}/cmake/sanitizer-reports.sh" "${reports}")
  set_tests_properties(sanitizer_reports_begin PROPERTIES FIXTURES_SETUP sanitizer_reports)
  set_tests_properties(sanitizer_reports PROPERTIES FIXTURES_CLEANUP sanitizer_reports)
endif()

# yagura_bench(NAME event_codec_bench SRCS ... DEPS ...): Google Benchmark, run by `make bench` only.
function(yagura_bench)
  cmake_parse_arguments(ARG "" "NAME" "SRCS;DEPS" ${ARGN})
  add_executable(${ARG_NAME} EXCLUDE_FROM_ALL ${ARG_SRCS})
  set_target_properties(${ARG_NAME} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bench")
  target_include_directories(${ARG_NAME} PRIVATE "${CMAKE_SOURCE_DIR}")
  target_link_libraries(${ARG_NAME} PRIVATE ${ARG_DEPS} benchmark::benchmark yagura_warnings)
  yagura_use_jemalloc(${ARG_NAME})
  set_property(GLOBAL APPEND PROPERTY YAGURA_BENCHES ${ARG_NAME})
endfunction()

# The target `programs` builds all that yagura_program declared. Called once, at the end.
function(yagura_add_programs_target)
  get_property(programs GLOBAL PROPERTY YAGURA_PROGRAMS)
  add_custom_target(programs DEPENDS ${programs})
endfunction()

# The target `benches` builds every program that yagura_bench declared. Called once, at the end.
function(yagura_add_benches_target)
  get_property(benches GLOBAL PROPERTY YAGURA_BENCHES)
  add_custom_target(benches DEPENDS ${benches})
endfunction()

# yagura_fuzz(NAME fuzz_filter SRCS fuzz_filter.cc DEPS ... [MAX_LEN bytes]): SRCS define libFuzzer's
# LLVMFuzzerTestOneInput. Seeds are the files in corpus/<name> beside the list file, words in
# <name>.dict. In every build the program is a test that runs the seeds; with YAGURA_FUZZ it is a
# fuzzer, too, that `make fuzz` lets search.
function(yagura_fuzz)
  cmake_parse_arguments(ARG "" "NAME;MAX_LEN" "SRCS;DEPS" ${ARGN})
  if(NOT ARG_MAX_LEN)
    set(ARG_MAX_LEN 4096)
  endif()
  set(corpus "${CMAKE_CURRENT_SOURCE_DIR}/corpus/${ARG_NAME}")
  set(dictionary "${CMAKE_CURRENT_SOURCE_DIR}/${ARG_NAME}.dict")
  if(NOT EXISTS "${dictionary}")
    set(dictionary "-")
  endif()
  add_executable(${ARG_NAME} ${ARG_SRCS})
  set_target_properties(${ARG_NAME} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/fuzz")
  target_include_directories(${ARG_NAME} PRIVATE "${CMAKE_SOURCE_DIR}")
  target_link_libraries(${ARG_NAME} PRIVATE ${ARG_DEPS} yagura_warnings)
  if(YAGURA_FUZZ)
    target_link_options(${ARG_NAME} PRIVATE -fsanitize=fuzzer)
    add_test(NAME ${ARG_NAME} COMMAND ${ARG_NAME} -runs=0 "${corpus}")
  else()
    target_link_libraries(${ARG_NAME} PRIVATE fuzz_replay)
    add_test(NAME ${ARG_NAME} COMMAND ${ARG_NAME} "${corpus}")
  endif()
  set_tests_properties(${ARG_NAME} PROPERTIES TIMEOUT 120 LABELS fuzz)
  set_property(GLOBAL APPEND PROPERTY YAGURA_FUZZERS ${ARG_NAME})
  set_property(GLOBAL APPEND_STRING PROPERTY YAGURA_FUZZERS_TABLE
    "${ARG_NAME} ${ARG_MAX_LEN} ${corpus} ${dictionary}\n")
endfunction()

# The target `fuzzers` builds every program that yagura_fuzz declared, and fuzz/table names them for
# tests/fuzz/run.sh. Called once, at the end.
function(yagura_add_fuzzers_target)
  get_property(fuzzers GLOBAL PROPERTY YAGURA_FUZZERS)
  add_custom_target(fuzzers DEPENDS ${fuzzers})
  get_property(table GLOBAL PROPERTY YAGURA_FUZZERS_TABLE)
  file(WRITE "${CMAKE_BINARY_DIR}/fuzz/table" "${table}")
endfunction()
