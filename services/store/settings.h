#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace yagura::storeserver {

struct Settings {
  std::filesystem::path data_dir;   // made where it does not exist; one process a folder
  std::filesystem::path socket;     // mode 0600
  std::string libchdb;              // empty: see LibraryPlaces
  std::string config_file;          // of ClickHouse: disks and storage policies; empty: none
  uint64_t memory_limit_bytes = 0;  // of queries, inserts, merges and caches together
  uint64_t mark_cache_bytes = 128u << 20;
  int max_connections = 64;
};

// A quarter of the machine's memory, at least 1 GiB.
uint64_t DefaultMemoryLimit();

// From the command line. Nothing: `exit_code` says how to end (help was printed, or an error).
std::optional<Settings> ParseSettings(int argc, char** argv, int* exit_code);

}  // namespace yagura::storeserver
