#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "common/eventstore/client.h"
#include "common/stream/topics.h"
#include "services/archive/api/query_runner.h"
#include "services/archive/storage/tiering.h"
#include "services/archive/workers/shard_writer.h"
#include "services/archive/workers/tenant_sealer.h"

namespace yagura::config {
class SettingsReader;
}

namespace yagura::archive {

struct Settings {
  eventstore::ClientOptions store;
  std::string cluster;    // of replicated tables; empty: one server
  int insert_quorum = 0;  // 0: more than half of the addresses
  Tiering tiering;
  bool word_index = true;
  stream::Topic events{"events", 4, {"archive", "detection"}};
  stream::Topic coverage = stream::CoverageTopic();
  WriterOptions writer;
  int writer_threads = 2;
  std::string spool_folder;  // empty: "archive/spool" in the data folder
  uint64_t spool_quota_bytes = 20ull << 30;
  int default_retention_days = 400;
  std::chrono::milliseconds retention_refresh{60'000};
  SealOptions audit;
  std::vector<std::string> trusted_audit_keys;
  QueryLimits query;
};

// Wrong and unknown keys are told by the reader's Finish.
absl::StatusOr<Settings> ReadSettings(config::SettingsReader& reader);

}  // namespace yagura::archive
