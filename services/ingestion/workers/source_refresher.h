#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"

#include "common/log/log.h"
#include "services/ingestion/domain/source_map.h"
#include "yagura/directory/v1/source.pb.h"

namespace yagura::rpc {
class Channels;
}

namespace yagura::ingestion {

class ParserCatalogue;

class CurrentSources;

// Keeps the map of sources as the directory has it. The last one is kept in a file, so that lines
// find their tenants after a restart even while the directory is away. Of what the map is made of,
// what was read counts, though the rest cannot be read just then.
class SourceRefresher {
 public:
  struct Options {
    std::chrono::milliseconds interval;
    std::filesystem::path cache_file;
    std::shared_ptr<const ParserCatalogue> parsers;  // which parsers a source may name
  };
  SourceRefresher(Options options, std::shared_ptr<rpc::Channels> channels,
                  std::shared_ptr<CurrentSources> sources, Logger logger);
  ~SourceRefresher();  // stops
  void Start();
  void Stop();
  // OK, or why the directory could not be asked.
  absl::Status health() const;

 private:
  // What the directory said last.
  struct Lists {
    std::vector<directory::v1::Source> sources;
    std::optional<FallbackZones> zones;  // nothing: never
    std::optional<RelaySites> relays;    // nothing: never
  };
  void Run(const std::stop_token& stop);
  absl::Status Refresh();
  absl::StatusOr<std::vector<directory::v1::Source>> ListSources();
  absl::StatusOr<FallbackZones> ListZones();
  absl::StatusOr<RelaySites> ListRelays();
  void LoadCache();
  void Use(const Lists& lists);

  const Options options_;
  const std::shared_ptr<rpc::Channels> channels_;
  const std::shared_ptr<CurrentSources> sources_;
  const Logger logger_;
  mutable std::mutex mutex_;
  absl::Status health_;
  Lists lists_;
  std::string last_;           // what was used last, serialised
  std::string last_problems_;  // what was logged last
  std::jthread thread_;
};

}  // namespace yagura::ingestion
