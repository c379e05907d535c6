#pragma once

#include <functional>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

#include "services/archive/storage/audit_key.h"
#include "services/archive/storage/audit_store.h"
#include "services/archive/storage/seal_store.h"
#include "yagura/audit/v1/audit_service.pb.h"

namespace yagura::archive {

// Computes one tenant's chain anew from what the event store has, against the signed heads and
// against what the state Redis remembers of the last. Not thread-safe; for one run.
class AuditVerifier {
 public:
  // `trusted` outlives it.
  AuditVerifier(const SealStore& seals, const AuditStore& store, const TrustedKeys& trusted,
                TimePoint now, std::string tenant);

  // Told what it has come to now and then; an error ends it.
  using Progress = std::function<absl::Status(const audit::v1::VerifyRecordsResponse&)>;
  // OK or BROKEN. An error says that it could not be found out.
  absl::StatusOr<audit::v1::VerifyRecordsResponse> Run(const std::stop_token& stop,
                                                       const Progress& progress);

 private:
  using Response = audit::v1::VerifyRecordsResponse;

  absl::Status Verify(const std::stop_token& stop, const Progress& progress);
  absl::Status Begin();
  absl::StatusOr<std::vector<SealedHead>> NextHeads() const;
  void CheckHead(const audit::v1::Head& head);
  void CheckHeads(const std::vector<SealedHead>& heads);
  absl::Status CheckRecords(const std::vector<SealedHead>& heads, const std::stop_token& stop,
                            const Progress& progress);
  void CheckRecord(const StoredRecord& stored);
  absl::Status SayWhetherInserted();
  absl::Status CheckEnd();

  bool broken() const { return result_.state() == Response::BROKEN; }
  void Break(Response::Flaw flaw, uint64_t sequence, const std::string& detail);

  const SealStore& seals_;
  const AuditStore& store_;
  const TrustedKeys& trusted_;
  const TimePoint now_;
  const std::string tenant_;
  SealStore::Position remembered_;  // by Redis, before anything was read from the store
  Response result_;
  uint64_t sequence_ = 0;  // up to which the records have been verified
  std::string hash_;       // H(sequence_)
};

}  // namespace yagura::archive
