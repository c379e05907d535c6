#pragma once

#include <memory>
#include <set>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#include "common/clock/clock.h"
#include "common/log/log.h"

namespace yagura::eventstore {
class Client;
}

namespace yagura::archive {

// Gives the table of events the indexes by which words are found, or takes them away. Neither
// inserts nor merges make them, as they cost about as much as storing a line: WordIndexer does,
// once a day of events is over.
absl::Status ApplyWordIndex(eventstore::Client& client, bool wanted, const Logger& logger);

// Has one server make the indexes of the days that are over, the newest first. Not thread-safe.
class WordIndexer {
 public:
  explicit WordIndexer(std::shared_ptr<eventstore::Client> server);

  // The day (partition, "20261122") whose indexes the store begins to make, in the background;
  // empty where all days have them or one is still being made. What came into a day afterwards,
  // or was rewritten, counts once it is a twentieth of the day; a day is begun once a day at most.
  // UNAVAILABLE (WORD_INDEX_FAILED) while the store tries one in vain: it goes on to try.
  absl::StatusOr<std::string> Next(TimePoint now);

 private:
  absl::StatusOr<bool> UnderWay() const;
  // Rows of the day that a word which is nowhere is looked for in.
  absl::StatusOr<uint64_t> Bare(const std::string& day) const;

  const std::shared_ptr<eventstore::Client> server_;
  std::string today_;
  std::set<std::string> done_;  // as far as was seen today
};

}  // namespace yagura::archive
