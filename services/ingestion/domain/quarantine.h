#pragma once

#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "services/ingestion/domain/parsers/parser.h"
#include "services/ingestion/domain/source_map.h"
#include "yagura/ingestion/v1/quarantined_source.pb.h"

namespace yagura::ingestion {

// Senders whose lines fit no source, so that somebody can see and assign them. Bounded: the sender
// that was silent for longest gives way. Thread-safe.
class Quarantine {
 public:
  static constexpr size_t kMaxSenders = 1000;
  static constexpr int kMaxSamples = 5;
  static constexpr size_t kMaxSampleBytes = 1024;

  void Note(const Sender& sender, const ParsedLine& line, TimePoint receive_time);
  // By lines, the busiest first.
  std::vector<v1::QuarantinedSource> List() const;

 private:
  void MakeRoom();

  mutable std::mutex mutex_;
  std::map<std::string, v1::QuarantinedSource> senders_;  // by id
};

}  // namespace yagura::ingestion
