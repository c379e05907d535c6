#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

// libchdb (ClickHouse as a library), bound at run time: its 570 MB come from a cache, not from a
// package. Its npm package has no header; this declares what we use, as of 26.7.
namespace yagura::storeserver {

inline constexpr const char* kLibraryVersion = "26.7.3-stable.1";

// Opaque handles of libchdb.
struct ChdbResult;
struct ChdbConnectionInner;
using ChdbConnection = ChdbConnectionInner*;
struct ChdbInsertStreamInner;
using ChdbInsertStream = ChdbInsertStreamInner*;

struct ChdbQueryAnalysis {
  uint32_t struct_size = sizeof(ChdbQueryAnalysis);
  uint32_t statement_count = 0;
  uint32_t flags = 0;
  uint32_t query_class = 0;  // 0: reads only
};

struct Chdb {
  ChdbConnection* (*connect)(int argc, char** argv);
  void (*close_conn)(ChdbConnection*);
  int (*shutdown)();
  void (*set_signal_handlers_enabled)(int);
  const char* (*version)();
  int (*classify_query_n)(ChdbConnection, const char*, size_t, const char*, size_t,
                          ChdbQueryAnalysis*);
  ChdbResult* (*query_with_params_n)(ChdbConnection, const char* query, size_t, const char* format,
                                     size_t, const char* const* names, const size_t* name_sizes,
                                     const char* const* values, const size_t* value_sizes,
                                     size_t count);
  ChdbResult* (*stream_query_with_params_n)(ChdbConnection, const char*, size_t, const char*,
                                            size_t, const char* const*, const size_t*,
                                            const char* const*, const size_t*, size_t);
  ChdbResult* (*stream_fetch_result)(ChdbConnection, ChdbResult*);
  void (*stream_cancel_query)(ChdbConnection, ChdbResult*);
  void (*destroy_query_result)(ChdbResult*);
  const char* (*result_error)(ChdbResult*);
  char* (*result_buffer)(ChdbResult*);
  size_t (*result_length)(ChdbResult*);
  uint64_t (*result_rows_written)(ChdbResult*);
  ChdbInsertStream (*stream_insert_with_params_n)(ChdbConnection, const char*, size_t, const char*,
                                                  size_t, const char* const*, const size_t*,
                                                  const char* const*, const size_t*, size_t);
  int (*stream_append)(ChdbInsertStream, const void*, size_t);  // 0: taken
  ChdbResult* (*stream_done)(ChdbInsertStream);
  void (*stream_cancel_insert)(ChdbInsertStream);
  const char* (*stream_insert_error)(ChdbInsertStream);
  void (*destroy_insert_stream)(ChdbInsertStream);
};

// Where the library may be, the most wanted place first: `flag` alone where it is set, else
// $YAGURA_LIBCHDB alone where it is set, else the user's cache, then beside this program.
std::vector<std::filesystem::path> LibraryPlaces(const std::string& flag);

// NOT_FOUND names every place that was tried. The library is never unloaded.
absl::StatusOr<Chdb> LoadChdb(const std::vector<std::filesystem::path>& places);

}  // namespace yagura::storeserver
