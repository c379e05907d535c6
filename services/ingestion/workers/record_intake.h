#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"

#include "services/ingestion/domain/record.h"
#include "services/ingestion/workers/listener.h"

namespace yagura::ingestion {

// Who sent a request, and for whom.
struct RecordSender {
  Sender sender;
  std::string origin;  // of the events
  std::string tenant;  // whose the records are; empty: sources say, else quarantine
  std::function<bool(std::string_view tenant)> may_write;
  // Chosen by the sender, the same for each repeat of one request; empty: it is none.
  std::string batch_id;
  std::string host;                                              // of records that name none
  std::vector<std::pair<std::string, std::string>> fields = {};  // of all records, after their own
  uint64_t content = 0;  // hash of the request: only the same again is a repeat
};

// Takes the records of one request on the way that pushed lines go: through an intake, straight to
// the streams. Thread-safe.
class RecordIntake {
 public:
  explicit RecordIntake(const ListenerParts& parts) : parts_(parts) {}
  // OK once the streams have all. UNAVAILABLE (SOURCES_UNKNOWN, or Redis is out of reach) and
  // RESOURCE_EXHAUSTED (FLOW_FULL): to be repeated; where there was no batch id, what had been
  // appended before the refusal is then doubled.
  absl::Status Take(const RecordSender& sender, const std::vector<Record>& records);

  using Adder =
      std::function<void(std::string_view line, const LineEnvelope& envelope, bool truncated)>;
  // The same for records that `read` gives to the function it is called with, one by one; where it
  // fails, nothing is taken and its error is the answer.
  absl::Status Take(const RecordSender& sender,
                    const std::function<absl::Status(const Adder& add)>& read);

 private:
  std::unique_ptr<Intake> Borrow();
  void Return(std::unique_ptr<Intake> intake);

  const ListenerParts parts_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Intake>> free_;
  uint64_t requests_ = 0;
};

}  // namespace yagura::ingestion
