// Whatever somebody with access to the event store does to sealed records is found.
#include "services/archive/api/audit_verifier.h"

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "audit_world.h"
#include "common/testing/status_matchers.h"
#include "common/text/text.h"
#include "services/archive/domain/audit_chain.h"

namespace yagura::archive {
namespace {

using audit::v1::VerifyRecordsResponse;
using testing::IsOk;

// An insert without a token: the store would drop a head that it once had.
eventstore::InsertRequest InsertOfHead(const SealedHead& head) {
  eventstore::InsertRequest request;
  request.sql = kInsertAuditHead;
  request.settings = {{"insert_deduplication_token", HexEncode(head.head.signature())}};
  return request;
}

std::string EncodedHead(const SealedHead& head) {
  eventstore::RowBinaryWriter rows;
  EncodeHead(head, &rows);
  return std::string(rows.bytes());
}

class Verifier : public ::testing::Test {
 protected:
  // Records 1..20 of acme, sealed 8 at a time: heads at 8, 16 and 20.
  void SetUp() override {
    world_.AppendTo("acme", 0, 20);
    ASSERT_THAT(world_.Seal(), IsOk());
    ASSERT_EQ(world_.Verify().state(), VerifyRecordsResponse::OK);
  }
  void ExpectFlaw(VerifyRecordsResponse::Flaw flaw, uint64_t sequence) {
    const auto verified = world_.Verify();
    EXPECT_EQ(verified.state(), VerifyRecordsResponse::BROKEN);
    EXPECT_EQ(verified.flaw(), flaw) << verified.ShortDebugString();
    EXPECT_EQ(verified.flawed_sequence(), sequence) << verified.ShortDebugString();
    EXPECT_FALSE(verified.detail().empty());
  }
  void Update(const std::string& what) {
    world_.Tamper(fmt::format("ALTER TABLE yagura.audit_records UPDATE {}", what));
  }
  // A row like that of `sequence`, with another number.
  void Insert(uint64_t sequence, uint64_t as) {
    world_.Tamper(
        fmt::format("INSERT INTO yagura.audit_records SELECT * REPLACE (toUInt64({}) AS sequence) "
                    "FROM (SELECT * FROM yagura.audit_records WHERE sequence = {})",
                    as, sequence));
  }

  AuditWorld world_;
};

TEST_F(Verifier, FindsAnAlteredRecord) {
  Update("record = replaceOne(record, 'things', 'thongs') WHERE sequence = 11");
  ExpectFlaw(VerifyRecordsResponse::RECORD_ALTERED, 11);
}

TEST_F(Verifier, FindsAnAlteredColumn) {
  Update("principal = 'nobody' WHERE sequence = 5");
  ExpectFlaw(VerifyRecordsResponse::RECORD_ALTERED, 5);
}

TEST_F(Verifier, FindsAnAlteredChainHash) {
  Update("chain_hash = reverse(chain_hash) WHERE sequence = 20");
  ExpectFlaw(VerifyRecordsResponse::RECORD_ALTERED, 20);
}

TEST_F(Verifier, FindsARemovedRecord) {
  world_.Tamper("ALTER TABLE yagura.audit_records DELETE WHERE sequence IN (9, 15)");
  ExpectFlaw(VerifyRecordsResponse::RECORD_MISSING, 9);
}

TEST_F(Verifier, FindsARemovedFirstAndLastRecord) {
  world_.Tamper("ALTER TABLE yagura.audit_records DELETE WHERE sequence = 20");
  ExpectFlaw(VerifyRecordsResponse::RECORD_MISSING, 20);
  world_.Tamper("ALTER TABLE yagura.audit_records DELETE WHERE sequence = 1");
  ExpectFlaw(VerifyRecordsResponse::RECORD_MISSING, 1);
}

TEST_F(Verifier, FindsAnInsertedRecord) {
  Insert(3, 7);
  ExpectFlaw(VerifyRecordsResponse::RECORD_INSERTED, 7);
}

TEST_F(Verifier, FindsARecordBehindTheEnd) {
  Insert(20, 21);
  ExpectFlaw(VerifyRecordsResponse::RECORD_INSERTED, 21);
}

// Somebody who knows how the chain is made computes it anew behind an altered record.
TEST_F(Verifier, FindsAChainThatWasComputedAnew) {
  std::string hash;
  std::vector<std::string> updates;
  ASSERT_THAT(world_.world.store.Visit("acme", 0, 20, {},
                                       [&](const StoredRecord& row) {
                                         std::string bytes = row.sealed.bytes;
                                         if (row.sealed.sequence == 1) hash = ChainStart("acme");
                                         if (row.sealed.sequence == 12) {
                                           audit::v1::Record record;
                                           record.ParseFromString(bytes);
                                           record.set_etag("forged");
                                           bytes = record.SerializeAsString();
                                         }
                                         hash = ChainNext(hash, row.sealed.sequence, bytes);
                                         if (row.sealed.sequence < 12) return absl::OkStatus();
                                         updates.push_back(fmt::format(
                                             "record = unhex('{}'), chain_hash = unhex('{}'), etag "
                                             "= '{}' WHERE sequence = {}",
                                             HexEncode(bytes), HexEncode(hash),
                                             row.sealed.sequence == 12 ? "forged" : "",
                                             row.sealed.sequence));
                                         return absl::OkStatus();
                                       }),
              IsOk());
  for (const std::string& update : updates) Update(update);
  ExpectFlaw(VerifyRecordsResponse::RECORD_ALTERED, 16);
  // And signs the heads, with a key of its own.
  const auth::SigningKey key = auth::SigningKey::Generate();
  world_.Tamper("ALTER TABLE yagura.audit_heads DELETE WHERE sequence = 16");
  ExpectFlaw(VerifyRecordsResponse::HEAD_MISSING, 16);
  audit::v1::Head head = world_.Verify().head();  // of 8
  head.set_first_sequence(9);
  head.set_sequence(16);
  head.set_previous_hash(head.hash());
  std::string at_16;
  ASSERT_THAT(world_.world.store.Visit("acme", 15, 16, {},
                                       [&](const StoredRecord& row) {
                                         at_16 = row.sealed.chain_hash;
                                         return absl::OkStatus();
                                       }),
              IsOk());
  head.set_hash(at_16);
  head.set_key_id(key.key_id());
  head.set_signature(key.Sign(HeadText(head)));
  ASSERT_THAT(world_.world.store.InsertHead({head, TimePoint{}}), IsOk());
  ExpectFlaw(VerifyRecordsResponse::HEAD_ALTERED, 16);
}

// Somebody who can write both stores signs every head anew, and says in Redis that the key is ours.
TEST_F(Verifier, TrustsNoKeyBecauseRedisHasIt) {
  const auth::SigningKey key = auth::SigningKey::Generate();
  ASSERT_OK_AND_ASSIGN(auto heads, world_.world.store.HeadsAfter("acme", 0, 10));
  ASSERT_EQ(heads.size(), 3u);
  world_.Tamper("ALTER TABLE yagura.audit_heads DELETE WHERE 1");
  for (SealedHead& head : heads) {
    head.head.set_key_id(key.key_id());
    head.head.set_signature(key.Sign(HeadText(head.head)));
    head.head.set_tenant("acme");
    ASSERT_THAT(world_.world.client->Insert(InsertOfHead(head), EncodedHead(head)).status(),
                IsOk());
  }
  ASSERT_THAT(world_.world.seals.PutKey(key.key_id(), key.public_key()), IsOk());
  ExpectFlaw(VerifyRecordsResponse::HEAD_ALTERED, 8);
}

// Another replica's, or that of a data folder that was lost.
TEST_F(Verifier, TrustsTheKeysThatTheSettingsName) {
  const auth::SigningKey own = auth::SigningKey::Generate();
  const std::string& sealer = world_.world.key.public_key();
  const auto state_of = [&](const std::vector<std::string>& trusted) {
    const auto keys = TrustedKeysOf(own, trusted);
    EXPECT_THAT(keys, IsOk());
    AuditVerifier verifier(world_.world.seals, world_.world.store, *keys, SystemClock()->Now(),
                           "acme");
    const auto result = verifier.Run({}, [](const auto&) { return absl::OkStatus(); });
    EXPECT_THAT(result, IsOk());
    return result->state();
  };
  EXPECT_EQ(state_of({}), VerifyRecordsResponse::BROKEN);
  EXPECT_EQ(state_of({HexEncode(sealer)}), VerifyRecordsResponse::OK);
  EXPECT_EQ(state_of({Base64Encode(sealer)}), VerifyRecordsResponse::OK);
  EXPECT_FALSE(TrustedKeysOf(own, {"0a"}).ok());
}

TEST_F(Verifier, FindsAlteredAndInsertedHeads) {
  world_.Tamper(
      "INSERT INTO yagura.audit_heads SELECT * FROM yagura.audit_heads WHERE sequence = 8");
  ExpectFlaw(VerifyRecordsResponse::HEAD_INSERTED, 8);
  world_.Tamper("ALTER TABLE yagura.audit_heads DELETE WHERE sequence = 8");
  ExpectFlaw(VerifyRecordsResponse::HEAD_MISSING, 8);
}

// To hide records, they are said to be beyond their retention.
TEST_F(Verifier, FindsAHeadThatWasMadeToExpire) {
  world_.Tamper(
      "ALTER TABLE yagura.audit_heads UPDATE expires = toDateTime(1000) WHERE sequence = 16");
  ExpectFlaw(VerifyRecordsResponse::HEAD_ALTERED, 16);
}

TEST_F(Verifier, FindsAnEndThatWasCutOff) {
  world_.Tamper("ALTER TABLE yagura.audit_heads DELETE WHERE sequence > 8");
  world_.Tamper("ALTER TABLE yagura.audit_records DELETE WHERE sequence > 8");
  ExpectFlaw(VerifyRecordsResponse::HEAD_MISSING, 20);
}

TEST_F(Verifier, SaysWhatIsNotSealedYetAndNothingOfOthers) {
  world_.AppendTo("acme", 20, 3);
  const auto verified = world_.Verify();
  EXPECT_EQ(verified.state(), VerifyRecordsResponse::OK);
  EXPECT_EQ(verified.unsealed_records(), 3u);
  EXPECT_EQ(verified.first_sequence(), 1u);
  EXPECT_EQ(verified.verified_records(), 20u);
  const auto other = world_.Verify("beta");
  EXPECT_EQ(other.state(), VerifyRecordsResponse::OK);
  EXPECT_EQ(other.verified_records(), 0u);
}

}  // namespace
}  // namespace yagura::archive
