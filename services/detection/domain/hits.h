#pragma once

#include <chrono>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

#include "services/detection/domain/engine/batch_matcher.h"
#include "yagura/detection/internal/v1/hits.pb.h"

namespace yagura::detection {

class Packer;

inline constexpr int kMaxEvidence = 20;
inline constexpr size_t kMaxEvidenceRaw = 2048;

// Where a batch of events stood in the stream.
struct HitSource {
  int shard = 0;
  std::string id;
  uint64_t epoch = 0;
  std::string rule_set_version = {};  // as announced in the shard; empty: the matcher's own
  // Where the batch is a part of the one that stood there, the index there of each of its events:
  // the events keep their ids. Must outlive its use; empty: the batch is the whole one.
  std::span<const uint32_t> rows = {};
};

// The shard of a partition, "tenant/rule id".
using ShardOf = std::function<int(std::string_view partition)>;

// The matches of one batch as hits, one HitBatch for each shard that gets any: a rule of a tenant
// always goes to the same shard. `matches` are those of `matcher`'s last run over `batch`. `fold`:
// how long matches of a single-event rule fold into one finding.
absl::StatusOr<std::vector<std::pair<int, internal::v1::HitBatch>>> MakeHits(
    BatchMatcher& matcher, event::BatchReader& batch, const std::vector<Match>& matches,
    const HitSource& source, const ShardOf& shard_of, std::chrono::nanoseconds fold);

// What the rules of a matcher find in a batch.
struct Found {
  size_t matches = 0;
  std::vector<std::pair<int, internal::v1::HitBatch>> hits;  // as of MakeHits
};
absl::StatusOr<Found> FindHits(BatchMatcher& matcher, event::BatchReader& batch,
                               const HitSource& source, const ShardOf& shard_of,
                               std::chrono::nanoseconds fold);

// A batch as the stream keeps it; its evidence is packed by itself, so that windows need not look
// into it. One that has any waits for a release that knows blocks.
std::string PackHits(internal::v1::HitBatch& batch, Packer& packer);

// Some hits of a batch, ascending by index.
internal::v1::HitBatch CopyHits(const internal::v1::HitBatch& batch,
                                std::span<const uint32_t> hits);

// Makes every shard of "hits" hear of the batch's receive time: those that get no hits get an entry
// without any.
void AddWatermarks(const event::BatchReader& batch, const HitSource& source, int shards,
                   std::vector<std::pair<int, internal::v1::HitBatch>>& hits);

}  // namespace yagura::detection
