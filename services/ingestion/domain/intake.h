#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/clock/clock.h"
#include "common/event/batch_codec.h"
#include "common/text/text.h"
#include "services/ingestion/domain/enrichment/enricher.h"
#include "services/ingestion/domain/line_pipeline.h"
#include "services/ingestion/domain/line_stats.h"
#include "services/ingestion/domain/sender_memory.h"
#include "services/ingestion/domain/source_map.h"

namespace yagura::ingestion {

class Quarantine;

// One batch of one tenant and source, ready for the event stream.
struct ReadyBatch {
  std::string partition;  // see PartitionOf: decides the shard
  std::string key;        // the batch id: what the stream deduplicates by
  std::string payload;
  std::string tenant;
  std::string source;  // name of the source, empty where there is none
  size_t events = 0;
  size_t unparsed = 0;   // of these
  size_t bytes = 0;      // of raw lines
  std::string listener;  // that the lines came through
  LineStats stats;
};

// Name of the source, or, where it is null, "tenants/{tenant}", with "/sites/{site}" behind it
// where a relay took the lines: two sites' unknown senders are not one.
std::string PartitionOf(const SourceTarget* source, std::string_view tenant, std::string_view site);

// What is remembered of one sender between its lines (a connection, an address).
struct SenderState {
  explicit SenderState(Sender who) : sender(std::move(who)), origin(sender.origin()) {}

  Sender sender;
  std::string origin;
  std::string tenant;  // set: the lines are this tenant's, whether or not a source fits
  std::string parser;  // set: reads the lines whatever the source says
  // Set: tenants into which the sender may write; lines of any other go to quarantine.
  std::function<bool(std::string_view tenant)> may_write;
  Parser* likely = nullptr;  // of the Intake that the lines go to
  SenderMemory memory;
  std::shared_ptr<const SourceMap> map;
  SenderSources sources;
};

// From lines to batches for one thread: reads a line, finds its source, and collects events until a
// batch is full or old enough. Not thread-safe.
class Intake {
 public:
  struct Options {
    // Batch ids come from this, the source, a number and the lines: unique a process start and
    // thread, or that of a batch that a sender may send again.
    std::string instance;
    size_t batch_bytes = 64 * 1024;
    std::chrono::milliseconds linger{50};
    std::shared_ptr<const ParserCatalogue> parsers;       // described ones; null: none
    std::shared_ptr<const CurrentEnrichment> enrichment;  // null: events stay as they are
  };
  Intake(Options options, std::shared_ptr<Quarantine> quarantine);
  ~Intake();

  // Batches from here on have their ids from another instance. Nothing may wait in a batch. Where
  // lines of an instance come again and go to other sources than before, their batches are others:
  // none of them is taken for one that was there, and nothing is lost.
  void Begin(std::string instance);
  // The line becomes an event of a batch; `sources` is the current map. `envelope` may be null.
  void Add(SenderState& state, const std::shared_ptr<const SourceMap>& sources,
           std::string_view line, bool truncated, TimePoint receive_time, SteadyTime now,
           const LineEnvelope* envelope = nullptr);
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
  // The source of a line of that device; nullptr where none fits or it must not be used.
  static const SourceTarget* Find(const SenderState& state, std::string_view serial,
                                  std::string_view virtual_context);
  Lane& LaneFor(const SourceTarget* target, const SenderState& state);
  void Flush(Lane& lane);

  Options options_;
  std::shared_ptr<Quarantine> quarantine_;
  const std::shared_ptr<SenderMemoryBudget> memory_;
  LinePipeline pipeline_;
  std::unique_ptr<Enricher> enricher_;      // null: none
  StringMap<std::unique_ptr<Lane>> lanes_;  // by partition
  Lane* last_lane_ = nullptr;
  uint64_t generation_ = 0;  // how many lanes were given up: a lane may come back
  std::vector<ReadyBatch> ready_;
};

}  // namespace yagura::ingestion
