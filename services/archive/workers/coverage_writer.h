#pragma once

#include <memory>
#include <vector>

#include "absl/status/status.h"

#include "common/stream/topic.h"

namespace yagura::eventstore {
class Client;
}

namespace yagura::archive {

// Puts what ingestion tells of its coverage into the table: the handler of a worker on the topic
// "coverage". Any number of times with the same result. Thread-safe.
class CoverageWriter {
 public:
  explicit CoverageWriter(std::shared_ptr<eventstore::Client> client);
  // UNAVAILABLE while the store is away.
  absl::Status Handle(const std::vector<stream::Entry>& entries) const;

 private:
  const std::shared_ptr<eventstore::Client> client_;
};

}  // namespace yagura::archive
