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

if(YAGURA_SANITIZE)
  add_compile_options(-fsanitize=${YAGURA_SANITIZE} -fno-omit-frame-pointer -g1)
  add_link_options(-fsanitize=${YAGURA_SANITIZE})
endif()

add_library(yagura_warnings INTERFACE)
target_compile_options(yagura_warnings INTERFACE -Wall -Wextra -Wshadow -Wnon-virtual-dtor
                                                 -Woverloaded-virtual -Wimplicit-fallthrough
                                                 -Wno-missing-field-initializers
                                                 # GCC 12 sees overlaps that are not (PR 105651).
                                                 $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>)
if(YAGURA_WERROR)
  target_compile_options(yagura_warnings INTERFACE -Werror)
endif()
