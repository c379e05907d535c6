#include "services/archive/api/audit_verifier.h"

#include <algorithm>
#include <utility>

#include "fmt/format.h"

#include "common/auth/token.h"
#include "common/status/status.h"
#include "services/archive/domain/audit_chain.h"

namespace yagura::archive {
namespace {

constexpr size_t kHeadsAtOnce = 500;
constexpr uint64_t kProgressEvery = 20'000;
// What expires while we look must not seem missing.
constexpr std::chrono::hours kExpiryMargin{1};

// Ends a visit: there is nothing more to find out.
Status Enough() { return absl::AbortedError("enough"); }

}  // namespace

AuditVerifier::AuditVerifier(const SealStore& seals, const AuditStore& store,
                             const TrustedKeys& trusted, TimePoint now, std::string tenant)
    : seals_(seals), store_(store), trusted_(trusted), now_(now), tenant_(std::move(tenant)) {
  result_.set_tenant(tenant_);
  result_.set_state(Response::RUNNING);
}

void AuditVerifier::Break(Response::Flaw flaw, uint64_t sequence, const std::string& detail) {
  if (broken()) return;
  result_.set_state(Response::BROKEN);
  result_.set_flaw(flaw);
  result_.set_flawed_sequence(sequence);
  result_.set_detail(detail);
}

StatusOr<AuditVerifier::Response> AuditVerifier::Run(const std::stop_token& stop,
                                                     const Progress& progress) {
  YAGURA_RETURN_IF_ERROR(Verify(stop, progress));
  if (!broken()) result_.set_state(Response::OK);
  return result_;
}

Status AuditVerifier::Verify(const std::stop_token& stop, const Progress& progress) {
  YAGURA_RETURN_IF_ERROR(Begin());
  while (!broken()) {
    YAGURA_ASSIGN_OR_RETURN(const auto heads, NextHeads());
    if (heads.empty()) break;
    const uint64_t sequence = sequence_;
    const std::string hash = hash_;
    CheckHeads(heads);
    // Records before a broken head may be broken before it.
    sequence_ = sequence;
    hash_ = hash;
    YAGURA_RETURN_IF_ERROR(CheckRecords(heads, stop, progress));
  }
  return broken() ? absl::OkStatus() : CheckEnd();
}

Status AuditVerifier::Begin() {
  YAGURA_ASSIGN_OR_RETURN(remembered_, seals_.Read(tenant_));
  YAGURA_ASSIGN_OR_RETURN(const auto feeds, seals_.Look({tenant_}));
  const SealStore::Feed& feed = feeds.begin()->second;
  result_.set_sealed_sequence(feed.sealed);
  result_.set_unsealed_records(feed.newest - std::min(feed.newest, feed.sealed));
  YAGURA_ASSIGN_OR_RETURN(const auto base, store_.LastExpiredHead(tenant_, now_ + kExpiryMargin));
  hash_ = ChainStart(tenant_);
  if (!base) return absl::OkStatus();
  CheckHead(base->head);
  sequence_ = base->head.sequence();
  hash_ = base->head.hash();
  *result_.mutable_head() = base->head;
  return absl::OkStatus();
}

StatusOr<std::vector<SealedHead>> AuditVerifier::NextHeads() const {
  YAGURA_ASSIGN_OR_RETURN(auto heads, store_.HeadsAfter(tenant_, sequence_, kHeadsAtOnce));
  if (heads.size() < kHeadsAtOnce) return heads;
  // Heads of one number are looked at together.
  const uint64_t last = heads.back().head.sequence();
  if (heads.front().head.sequence() == last) return heads;
  while (heads.back().head.sequence() == last) heads.pop_back();
  return heads;
}

void AuditVerifier::CheckHead(const audit::v1::Head& head) {
  const auto key = trusted_.find(head.key_id());
  const bool known = key != trusted_.end();
  const bool signed_by_us = head.tenant() == tenant_ && known &&
                            auth::VerifySignature(key->second, HeadText(head), head.signature());
  if (!signed_by_us) {
    Break(Response::HEAD_ALTERED, head.sequence(),
          known ? "the signature does not fit"
                : fmt::format("signed by {}, which is neither this process's key nor among "
                              "audit.trusted_keys of its settings",
                              head.key_id()));
  }
  if (head.sequence() == remembered_.sequence && head.hash() != remembered_.hash) {
    Break(Response::HEAD_ALTERED, head.sequence(), "it is not the head that was sealed here");
  }
}

void AuditVerifier::CheckHeads(const std::vector<SealedHead>& heads) {
  for (const SealedHead& each : heads) {
    const audit::v1::Head& head = each.head;
    if (broken()) return;
    if (head.first_sequence() > sequence_ + 1) {
      return Break(
          Response::HEAD_MISSING, head.first_sequence() - 1,
          fmt::format("no head covers records {} to {}", sequence_ + 1, head.first_sequence() - 1));
    }
    if (head.first_sequence() <= sequence_) {
      return Break(Response::HEAD_INSERTED, head.sequence(),
                   fmt::format("records {} to {} have another head already", head.first_sequence(),
                               std::min(head.sequence(), sequence_)));
    }
    CheckHead(head);
    if (head.previous_hash() != hash_) {
      return Break(Response::HEAD_ALTERED, head.sequence(), "it does not follow the head before");
    }
    sequence_ = head.sequence();
    hash_ = head.hash();
  }
}

void AuditVerifier::CheckRecord(const StoredRecord& stored) {
  const uint64_t sequence = stored.sealed.sequence;
  if (sequence <= sequence_) {
    return Break(Response::RECORD_INSERTED, sequence, "the record is there more than once");
  }
  if (sequence > sequence_ + 1) {
    return Break(Response::RECORD_MISSING, sequence_ + 1,
                 fmt::format("records {} to {} are not there", sequence_ + 1, sequence - 1));
  }
  const std::string hash = ChainNext(hash_, sequence, stored.sealed.bytes);
  if (hash != stored.sealed.chain_hash) {
    return Break(Response::RECORD_ALTERED, sequence, "the record does not fit its chain hash");
  }
  if (!stored.columns_fit) {
    return Break(Response::RECORD_ALTERED, sequence,
                 "a column that searches use does not say what the record says");
  }
  if (result_.first_sequence() == 0) result_.set_first_sequence(sequence);
  sequence_ = sequence;
  hash_ = hash;
}

// Up to the last head that is not broken itself: the first thing that is wrong counts.
Status AuditVerifier::CheckRecords(const std::vector<SealedHead>& heads,
                                   const std::stop_token& stop, const Progress& progress) {
  const Response of_heads = result_;
  result_.set_state(Response::RUNNING);
  result_.clear_flaw();
  result_.clear_flawed_sequence();
  result_.clear_detail();
  auto head = heads.begin();
  const auto end = of_heads.state() == Response::BROKEN
                       ? std::find_if(heads.begin(), heads.end(),
                                      [&](const SealedHead& each) {
                                        return each.head.sequence() >= of_heads.flawed_sequence();
                                      })
                       : heads.end();
  const uint64_t last = end == heads.begin() ? sequence_ : std::prev(end)->head.sequence();
  const auto check = [&](const StoredRecord& stored) -> Status {
    CheckRecord(stored);
    if (broken()) return Enough();
    result_.set_verified_records(result_.verified_records() + 1);
    if (sequence_ == head->head.sequence()) {
      if (hash_ != head->head.hash()) {
        Break(Response::RECORD_ALTERED, sequence_,
              fmt::format("records {} to {} were altered together with their chain hashes",
                          head->head.first_sequence(), sequence_));
        return Enough();
      }
      *result_.mutable_head() = head->head;
      ++head;
    }
    if (result_.verified_records() % kProgressEvery == 0) return progress(result_);
    return absl::OkStatus();
  };
  const Status visited = store_.Visit(tenant_, sequence_, last, stop, check);
  if (!visited.ok() && !broken()) return visited;
  if (!broken() && sequence_ < last) {
    Break(Response::RECORD_MISSING, sequence_ + 1,
          fmt::format("records {} to {} are not there", sequence_ + 1, last));
  }
  if (broken()) return SayWhetherInserted();
  if (of_heads.state() == Response::BROKEN) {
    Break(of_heads.flaw(), of_heads.flawed_sequence(), of_heads.detail());
  }
  return absl::OkStatus();
}

// Where a number is there twice, it is left to chance which of the two comes first.
Status AuditVerifier::SayWhetherInserted() {
  if (result_.flaw() != Response::RECORD_ALTERED) return absl::OkStatus();
  const uint64_t sequence = result_.flawed_sequence();
  size_t rows = 0;
  YAGURA_RETURN_IF_ERROR(
      store_.Visit(tenant_, sequence - 1, sequence, {}, [&rows](const StoredRecord& /*stored*/) {
        ++rows;
        return absl::OkStatus();
      }));
  if (rows < 2) return absl::OkStatus();
  result_.set_flaw(Response::RECORD_INSERTED);
  result_.set_detail("the record is there more than once");
  return absl::OkStatus();
}

Status AuditVerifier::CheckEnd() {
  if (remembered_.sequence > sequence_) {
    Break(
        Response::HEAD_MISSING, remembered_.sequence,
        fmt::format("sealed up to {}, but the store ends at {}", remembered_.sequence, sequence_));
    return absl::OkStatus();
  }
  YAGURA_ASSIGN_OR_RETURN(const uint64_t last, store_.LastSequence(tenant_, sequence_));
  if (last == 0) return absl::OkStatus();
  // What is just being sealed has a plan, or has been sealed by now.
  YAGURA_ASSIGN_OR_RETURN(const auto now, seals_.Read(tenant_));
  const uint64_t sealing = now.plan ? now.plan->head().sequence() : 0;
  if (last > std::max(now.sequence, sealing)) {
    Break(Response::RECORD_INSERTED, last, "the record was never sealed");
  }
  return absl::OkStatus();
}

}  // namespace yagura::archive
