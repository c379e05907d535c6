#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "absl/status/status.h"

#include "common/log/log.h"
#include "services/ingestion/domain/source_map.h"

namespace yagura::rpc {
class Channels;
}
namespace yagura::directory::v1 {
class Source;
}

namespace yagura::ingestion {

class ParserCatalogue;

class CurrentSources;

// Keeps the map of sources as the directory has it. The last one is kept in a file, so that lines
// find their tenants after a restart even while the directory is away.
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
  void Run(const std::stop_token& stop);
  absl::Status Refresh();
  void LoadCache();
  void Use(const std::vector<directory::v1::Source>& sources, const FallbackZones& zones,
           const RelaySites& relays);

  const Options options_;
  const std::shared_ptr<rpc::Channels> channels_;
  const std::shared_ptr<CurrentSources> sources_;
  const Logger logger_;
  mutable std::mutex mutex_;
  absl::Status health_;
  std::string last_;           // what was used last, serialised
  std::string last_problems_;  // what was logged last
  std::jthread thread_;
};

}  // namespace yagura::ingestion
