#pragma once

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "archive_fixture.h"
#include "common/auth/token.h"
#include "common/clock/proto_time.h"
#include "common/redis/pool.h"
#include "common/store/store.h"
#include "common/testing/fake_clock.h"
#include "common/testing/status_matchers.h"
#include "services/archive/api/event_verifier.h"
#include "services/archive/workers/event_sealer.h"
#include "services/archive/workers/range_inserter.h"

namespace yagura::archive {

// Two units of a thousand events each, of the tenant acme and the day of BaseTime(), which are
// sealed; and whoever can write the event store.
class ProofTest : public ::testing::Test {
 protected:
  static constexpr int kEvents = 1000;

  ProofTest() {
    clock_->SetNow(SystemClock()->Now());
    EXPECT_THAT(store::RegisterTenant(*state_, "acme"), testing::IsOk());
    Insert("one", "a", 0, kEvents);
    Insert("two", "b", kEvents, kEvents);
    EXPECT_THAT(sealer_.Turn(), testing::IsOk());
  }

  void Insert(const std::string& token, const std::string& batch, int first, int count,
              const std::string& tenant = "acme", const ProofStore* proofs = nullptr) {
    InsertBatch(token, MakeBatch(tenant, batch, first, count), count,
                proofs == nullptr ? &store_ : proofs);
  }
  // Null: without digests.
  void InsertBatch(const std::string& token, const std::string& payload, int count,
                   const ProofStore* proofs) {
    const RangeInserter inserter(archive_.client, archive_.table, archive_.retention, proofs);
    RangeData range;
    range.plan.set_token(token);
    range.entries.push_back({{1, 0}, token, payload});
    const auto outcome = inserter.Insert(range);
    ASSERT_THAT(outcome, testing::IsOk());
    ASSERT_EQ(outcome->events, static_cast<uint64_t>(count)) << "of a batch that can be read";
  }
  // As releases before schema 12 did it: the digest is of scheme 1, computed here by the store.
  void InsertByScheme1(const std::string& token, const std::string& batch, int first, int count,
                       const std::string& tenant = "acme") {
    InsertBatch(token, MakeBatch(tenant, batch, first, count), count, nullptr);
    EventUnit unit;
    unit.number = UnitNumber(token);
    unit.tenant = tenant;
    unit.day = day_;
    Run(fmt::format("ALTER TABLE yagura.events UPDATE unit = {} WHERE unit = 0 AND tenant = '{}'",
                    unit.number, tenant));
    const auto row = archive_.client->Select(
        {.sql = fmt::format(
             "SELECT SHA256(concat('yagura.events.unit.v1\\0', arrayStringConcat(arrayMap(x -> "
             "x.3, arraySort(groupArray((t, id, d))))))), count(), min(t), max(t), min(e) FROM "
             "(SELECT toUnixTimestamp64Nano(receive_time) AS t, id, "
             "toUInt64(toUnixTimestamp(expires)) AS e, unhex(hex(SHA256(concat({}, {}, id, {}, "
             "origin, {}, raw)))) AS d FROM yagura.events WHERE unit = {})",
             BigEndianSql("t"), BigEndianSql("length(id)"), BigEndianSql("length(origin)"),
             BigEndianSql("length(raw)"), unit.number)});
    ASSERT_THAT(row, testing::IsOk());
    const eventstore::Row& values = row->rows.at(0);
    unit.digest = values.at(0).text;
    unit.events = values.at(1).AsUnsigned();
    unit.checks.assign(unit.events, 0);
    unit.first_time = values.at(2).AsSigned();
    unit.last_time = values.at(3).AsSigned();
    unit.expires = static_cast<uint32_t>(values.at(4).AsUnsigned());
    unit.kept = unit.expires;
    ASSERT_THAT(store_.InsertUnits({unit}, token), testing::IsOk());
  }
  // Eight bytes, the most significant first; of a length or a number.
  static std::string BigEndianSql(const std::string& number, int bits = 64) {
    return fmt::format("unhex(leftPad(hex(toUInt{}({})), {}, '0'))", bits, number, bits / 4);
  }
  // The first head of a tenant's day, over all of its units, as a release sealed it that knew this
  // scheme as its last; it is not remembered.
  void SealByScheme(uint32_t scheme, const std::string& tenant) {
    ASSERT_OK_AND_ASSIGN(const auto units, store_.Units(tenant, day_));
    v1::EventHead head;
    head.set_tenant(tenant);
    head.set_day(day_);
    head.set_sequence(1);
    head.set_scheme(scheme);
    head.set_previous_hash(UnitChainStart(tenant, day_));
    head.set_hash(head.previous_hash());
    int64_t expires = 0;
    for (const auto& [number, unit] : units) {
      head.set_hash(UnitChainNext(head.hash(), unit, scheme));
      head.add_units(number);
      head.set_event_count(head.event_count() + unit.events);
      expires = std::max<int64_t>(expires, unit.expires);
    }
    *head.mutable_seal_time() = ToProto(clock_->Now());
    head.mutable_expire_time()->set_seconds(expires);
    head.set_key_id(key_.key_id());
    head.set_signature(key_.Sign(EventHeadText(head)));
    ASSERT_THAT(store_.InsertHead(head, static_cast<uint32_t>(expires)), testing::IsOk());
  }
  EventVerifier::Parts VerifierParts() {
    return {
        store_, memory_, ledger_, trusted_, holds_, clock_->Now(), std::chrono::milliseconds(0)};
  }
  v1::DayProof Verify(const std::string& tenant = "acme") {
    EventVerifier verifier(VerifierParts(), tenant, day_);
    const auto proof = verifier.Run({}, [](const v1::DayProof&) { return absl::OkStatus(); });
    EXPECT_THAT(proof, testing::IsOk());
    return proof.ok() ? *proof : v1::DayProof();
  }
  // Kinds of what is wrong.
  std::vector<v1::EventFlaw::Kind> Flaws(const std::string& tenant = "acme") {
    std::vector<v1::EventFlaw::Kind> kinds;
    const v1::DayProof proof = Verify(tenant);
    for (const auto& flaw : proof.flaws()) kinds.push_back(flaw.kind());
    return kinds;
  }
  std::unique_ptr<EventSealer> NewSealer(
      const Logger& logger = Logger::Null(),
      std::chrono::milliseconds interval = EventSealer::Options().interval) {
    EventSealer::Options options;
    options.interval = interval;
    return std::make_unique<EventSealer>(
        EventSealer::Parts{store_, memory_, ledger_, archive_.retention, key_, trusted_, clock_,
                           logger},
        options);
  }
  // Of a sealer that logs to log_.
  std::string Logged() const {
    std::ifstream in(log_);
    return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  }
  // Behind the only one of the day, by scheme 9, and not remembered.
  void AddALaterHead() {
    Run("INSERT INTO yagura.event_heads SELECT * REPLACE(2 AS sequence, hash AS previous_hash, "
        "9 AS scheme) FROM (SELECT * FROM yagura.event_heads)");
  }
  uint64_t Number(const std::string& sql) {
    const auto result = archive_.client->Select({.sql = sql});
    EXPECT_THAT(result, testing::IsOk());
    return result.ok() ? result->rows.at(0).at(0).AsUnsigned() : 0;
  }
  // The last head of the day, by scheme 9: what such a release would remember.
  void SealedByALaterRelease(const std::string& tenant = "acme") {
    ASSERT_OK_AND_ASSIGN(const auto heads, store_.Heads(tenant, day_));
    ASSERT_FALSE(heads.empty());
    v1::EventHead head = heads.back();
    head.set_scheme(9);
    ASSERT_THAT(memory_.Raise(head, head.expire_time().seconds(), 9), testing::IsOk());
  }
  // Somebody who can write the event store alone makes the day anew, digests included.
  void MakeTheDayAnew() {
    Run("TRUNCATE TABLE yagura.events");
    Run("TRUNCATE TABLE yagura.event_units");
    Run("TRUNCATE TABLE yagura.event_heads");
    Insert("anew", "x", 0, kEvents);
  }
  void Run(const std::string& sql) {
    eventstore::Query query;
    query.sql = sql;
    query.settings = {{"mutations_sync", "1"}, {"allow_nondeterministic_mutations", "1"}};
    ASSERT_THAT(archive_.client->Execute(query), testing::IsOk());
  }
  static std::vector<std::string> IdsOf(const v1::EventFlaw& flaw) {
    return {flaw.event_ids().begin(), flaw.event_ids().end()};
  }

  Archive archive_;
  const std::filesystem::path log_ = archive_.redis.folder() / "sealer.log";
  const std::shared_ptr<redis::Pool> state_ = archive_.redis.NewPool();
  const std::shared_ptr<testing::FakeClock> clock_ = std::make_shared<testing::FakeClock>();
  const UnitLedger ledger_{state_};
  const ProofStore store_{archive_.client, &ledger_};
  const HeadMemory memory_{state_};
  std::vector<EventVerifier::Hold> holds_;
  const auth::SigningKey key_ = auth::SigningKey::Generate();
  TrustedKeys trusted_{{key_.key_id(), key_.public_key()}};
  EventSealer sealer_{
      {store_, memory_, ledger_, archive_.retention, key_, trusted_, clock_, Logger::Null()}, {}};
  const int64_t day_ = std::chrono::floor<std::chrono::days>(BaseTime()).time_since_epoch().count();
};

}  // namespace yagura::archive
