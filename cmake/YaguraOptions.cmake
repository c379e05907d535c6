# Language, warnings, sanitizers and output folders for every target of ours.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin")

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()
# -O2 keeps builds quick; libraries on the hot path ask for more themselves.
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG")
set(CMAKE_C_FLAGS_RELEASE "-O2 -DNDEBUG")

option(YAGURA_WERROR "Treat warnings in our own code as errors" ON)
set(YAGURA_SANITIZE "" CACHE STRING "Sanitizers for every target, e.g. address,undefined or thread")
option(YAGURA_FUZZ "Build the fuzz targets with libFuzzer (needs clang)" OFF)
option(YAGURA_WITHOUT_GRPC "Build only the libraries and tests that do not link gRPC" OFF)

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # Paths below the source tree are taken as relative, so that a second clone finds what the first built.
  set(launcher "${CMAKE_COMMAND}" -E env "CCACHE_BASEDIR=${CMAKE_SOURCE_DIR}" CCACHE_NOHASHDIR=1
               "${CCACHE_PROGRAM}")
  set(CMAKE_CXX_COMPILER_LAUNCHER ${launcher})
  set(CMAKE_C_COMPILER_LAUNCHER ${launcher})
endif()
find_program(MOLD_PROGRAM mold)
if(MOLD_PROGRAM)
  add_link_options(-fuse-ld=mold)
endif()

# Flags of sanitizers are for our own code. What protoc made has them for ThreadSanitizer alone, which
# must see both sides of a race; elsewhere it would double the build and tell nothing.
function(yagura_add_instrumentation)
  add_compile_options("$<$<NOT:$<BOOL:$<TARGET_PROPERTY:YAGURA_GENERATED>>>:${ARGN}>")
endfunction()
if(YAGURA_SANITIZE)
  # A finding ends the program: a test that only printed it would still pass.
  yagura_add_instrumentation(-fsanitize=${YAGURA_SANITIZE} -fno-sanitize-recover=all -O1 -g1
                             -fno-omit-frame-pointer -D_GLIBCXX_ASSERTIONS)
  add_link_options(-fsanitize=${YAGURA_SANITIZE})
endif()
if(YAGURA_SANITIZE MATCHES "thread")
  # With the macro, headers of protobuf and abseil give their types other members than Debian's
  # libraries, built without it, know.
  add_compile_options(-U__SANITIZE_THREAD__)
endif()
if(YAGURA_SANITIZE MATCHES "undefined" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # ASan sees null pointers, too; the two checks at every access make GCC a quarter slower. The fuzz
  # targets (clang) have them.
  yagura_add_instrumentation(-fno-sanitize=null,alignment)
endif()
if(YAGURA_FUZZ)
  if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    message(FATAL_ERROR "YAGURA_FUZZ needs clang: use the preset fuzz")
  endif()
  yagura_add_instrumentation(-fsanitize=fuzzer-no-link)
  add_link_options(-fsanitize=fuzzer-no-link)
endif()

add_library(yagura_warnings INTERFACE)
target_compile_options(yagura_warnings INTERFACE -Wall -Wextra -Wshadow -Wnon-virtual-dtor
                                                 -Woverloaded-virtual -Wimplicit-fallthrough
                                                 -Wno-missing-field-initializers
                                                 # GCC 12 sees overlaps that are not (PR 105651).
                                                 $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>)
if(YAGURA_SANITIZE AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # Instrumentation hides from GCC what is set where: it warns of std::regex.
  target_compile_options(yagura_warnings INTERFACE -Wno-maybe-uninitialized)
endif()
if(YAGURA_WERROR)
  target_compile_options(yagura_warnings INTERFACE -Werror)
endif()
