#pragma once

#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "services/ingestion/domain/parsers/parser.h"
#include "services/ingestion/domain/source_map.h"
#include "yagura/ingestion/v1/quarantined_source.pb.h"

namespace yagura::ingestion {

// Senders whose lines fit no source, so that somebody can see and assign them: told apart by
// listener, address, credential and client certificate, and by the device that their lines name,
// since a relay sends for many. Bounded: the sender that was silent for longest gives way.
// Thread-safe.
class Quarantine {
 public:
  static constexpr size_t kMaxSenders = 1000;
  static constexpr int kMaxSamples = 5;
  static constexpr size_t kMaxSampleBytes = 1024;
  // Of what a line says of its device.
  static constexpr size_t kMaxTextBytes = 256;
  // Devices of one listener, address, credential and certificate; what more it names counts as no
  // device.
  static constexpr size_t kMaxDevices = 200;

  // `refused`: a source fits, but the sender must not write for its tenant.
  void Note(const Sender& sender, const ParsedLine& line, bool refused, TimePoint receive_time);
  // By lines, the busiest first; without those that fitted no source and that `sources` maps now.
  std::vector<v1::QuarantinedSource> List(const SourceMap& sources) const;

 private:
  struct Entry {
    Sender sender;
    bool refused = false;  // the last line
    v1::QuarantinedSource shown;
  };
  void MakeRoom();
  // The row of the sender and device; the one of the sender without a device where it has too many.
  Entry& RowOf(const Sender& sender, std::string_view serial, std::string_view context,
               TimePoint time);

  mutable std::mutex mutex_;
  std::map<std::string, Entry> senders_;      // by id
  std::map<std::string, size_t> devices_of_;  // by listener, address, credential, certificate
};

}  // namespace yagura::ingestion
