#include "services/store/settings.h"

#include <unistd.h>

#include <algorithm>

#include "CLI/CLI.hpp"

namespace yagura::storeserver {

uint64_t DefaultMemoryLimit() {
  const auto pages = static_cast<uint64_t>(std::max(0L, sysconf(_SC_PHYS_PAGES)));
  const auto page = static_cast<uint64_t>(std::max(0L, sysconf(_SC_PAGESIZE)));
  return std::max<uint64_t>(pages * page / 4, 1ull << 30);
}

std::optional<Settings> ParseSettings(int argc, char** argv, int* exit_code) {
  Settings settings;
  settings.memory_limit_bytes = DefaultMemoryLimit();
  CLI::App app(
      "The embedded event store: ClickHouse's HTTP interface on a Unix socket, answered by "
      "libchdb.");
  app.add_option("--data-dir", settings.data_dir, "Folder of the data")->required();
  app.add_option("--socket", settings.socket, "Path of the Unix socket")->required();
  app.add_option(
      "--libchdb", settings.libchdb,
      "libchdb.so; by default $YAGURA_LIBCHDB, the user's cache, or beside this program");
  app.add_option("--config-file", settings.config_file,
                 "A ClickHouse configuration file (XML or YAML), for disks and storage policies")
      ->check(CLI::ExistingFile);
  app.add_option("--memory-limit", settings.memory_limit_bytes,
                 "Bytes that queries, inserts, merges and caches may use together")
      ->check(CLI::Range(uint64_t{256} << 20, uint64_t{1} << 44))
      ->capture_default_str();
  app.add_option("--mark-cache", settings.mark_cache_bytes, "Bytes of index marks kept in memory")
      ->check(CLI::Range(uint64_t{1} << 20, uint64_t{1} << 40))
      ->capture_default_str();
  app.add_option("--max-connections", settings.max_connections, "Requests at once; more get 503")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    *exit_code = app.exit(error);
    return std::nullopt;
  }
  return settings;
}

}  // namespace yagura::storeserver
