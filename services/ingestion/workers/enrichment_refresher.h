#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"

#include "common/log/log.h"
#include "services/ingestion/domain/enrichment/enricher.h"

namespace yagura::rpc {
class Channels;
}

namespace yagura::ingestion {

// Keeps the enrichment as the directory and the files have it: assets and sites are asked for again
// and again, files are read anew when they have changed. What cannot be had stays as it was.
class EnrichmentRefresher {
 public:
  struct Options {
    std::filesystem::path threat_lists;            // folder; empty: none
    std::vector<std::filesystem::path> geo_files;  // in MaxMind's format
    std::chrono::milliseconds interval{10'000};
  };
  // `channels` may be null: no assets then.
  EnrichmentRefresher(Options options, std::shared_ptr<rpc::Channels> channels,
                      std::shared_ptr<CurrentEnrichment> current, Logger logger);
  ~EnrichmentRefresher();  // stops
  // Reads the files first, so that the first line has them.
  void Start();
  void Stop();
  // One turn over the files alone: reads what has changed.
  void RefreshFiles();

 private:
  void Run(const std::stop_token& stop);
  void RefreshLists();
  void RefreshGeo();
  absl::Status RefreshAssets();
  void Tell(const char* what, const absl::Status& status, std::string* last) const;
  void Publish();

  const Options options_;
  const std::shared_ptr<rpc::Channels> channels_;
  const std::shared_ptr<CurrentEnrichment> current_;
  const Logger logger_;
  Enrichment next_;
  bool changed_ = true;
  std::string lists_seen_;  // what the files were when they were last read well
  std::string geo_seen_;
  std::string lists_error_;  // of the last try
  std::string geo_error_;
  std::string assets_seen_;  // digest of what the directory told
  std::string last_error_;
  std::jthread thread_;
};

}  // namespace yagura::ingestion
