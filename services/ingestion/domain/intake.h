#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/clock/clock.h"
#include "common/event/batch_codec.h"
#include "common/text/text.h"
#include "services/ingestion/domain/line_pipeline.h"
#include "services/ingestion/domain/source_map.h"

namespace yagura::ingestion {

class Quarantine;

// One batch of one tenant and source, ready for the event stream.
struct ReadyBatch {
  std::string partition;  // "tenant/source": decides the shard
  std::string key;        // the batch id: what the stream deduplicates by
  std::string payload;
  std::string tenant;
  std::string source;  // name of the source, empty where there is none
  size_t events = 0;
  size_t unparsed = 0;  // of these
  size_t bytes = 0;     // of raw lines
};

// What is remembered of one sender between its lines (a connection, an address).
struct SenderState {
  explicit SenderState(Sender who) : sender(std::move(who)), origin(sender.origin()) {}

  Sender sender;
  std::string origin;
  Parser* likely = nullptr;  // of the Intake that the lines go to
  std::shared_ptr<const SourceMap> map;
  SenderSources sources;
};

// From lines to batches for one thread: reads a line, finds its source, and collects events until a
// batch is full or old enough. Not thread-safe.
class Intake {
 public:
  struct Options {
    std::string instance;  // unique a process start and thread; batch ids come from it
    size_t batch_bytes = 64 * 1024;
    std::chrono::milliseconds linger{50};
  };
  Intake(Options options, std::shared_ptr<Quarantine> quarantine);
  ~Intake();

  // The line becomes an event of a batch; `sources` is the current map.
  void Add(SenderState& state, const std::shared_ptr<const SourceMap>& sources,
           std::string_view line, bool truncated, TimePoint receive_time, SteadyTime now);
  // Batches that are full, or whose first event came `linger` ago.
  std::vector<ReadyBatch> TakeReady(SteadyTime now);
  // All of them, for a stop.
  std::vector<ReadyBatch> TakeAll();
  // When the next batch is due; nothing while there is none.
  std::optional<SteadyTime> NextDue() const;
  // Full batches wait to be taken.
  bool has_ready() const { return !ready_.empty(); }

 private:
  struct Lane;
  Lane& LaneFor(const SourceTarget* target);
  void Flush(Lane& lane);

  const Options options_;
  std::shared_ptr<Quarantine> quarantine_;
  LinePipeline pipeline_;
  StringMap<std::unique_ptr<Lane>> lanes_;  // by source name; "" is quarantine
  Lane* last_lane_ = nullptr;
  uint64_t sequence_ = 0;  // of the next batch
  std::vector<ReadyBatch> ready_;
};

}  // namespace yagura::ingestion
