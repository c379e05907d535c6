// What of a row its digest proves: every column but those that may change, also where the day was
// begun by a release that proved the raw line alone.
#include <limits>
#include <set>

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/clock/proto_time.h"
#include "common/event/batch_codec.h"
#include "proof_fixture.h"
#include "services/archive/domain/row_text.h"

namespace yagura::archive {
namespace {

using std::chrono::minutes;
using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::IsEmpty;
using testing::IsOk;
using ::testing::SizeIs;

constexpr std::string_view kAddress("\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07", 16);

// That changes by itself, or may be derived anew.
const std::set<std::string> kNotProven = {"fields", "layout", "folded", "unit"};
// The table is ordered by them: no row can be changed there.
const std::set<std::string> kKeys = {"id", "tenant", "receive_time"};

void FillEnd(const std::string& name, event::v1::Endpoint* end) {
  end->set_ip(std::string(kAddress));
  end->set_port(std::numeric_limits<uint32_t>::max());
  end->set_translated_ip("\xc0\x00\x02\x09");
  end->set_translated_port(1);
  end->set_host(name + ".example");
  end->set_interface("port1");
  end->set_zone("wan");
  end->set_mac("00:11:22:33:44:55");
  end->set_country("Japan");
}

// Every column has a value.
event::v1::Event FullEvent(int number) {
  event::v1::Event event = MakeEvent("acme", number);
  FillEnd("source", event.mutable_src());
  FillEnd("destination", event.mutable_dst());
  event.set_app("dns");
  event.set_bytes_out(std::numeric_limits<uint64_t>::max());
  event.set_bytes_in(2);
  event.set_packets_out(3);
  event.set_packets_in(4);
  event.mutable_duration()->set_seconds(7);
  event.mutable_duration()->set_nanos(123'456'789);
  event.set_rule("17");
  event.set_signature_id("4711");
  event.set_signature("A.Signature");
  event.set_url("https://example.com/");
  event.set_session("s");
  event.set_virtual_context("root");
  event.set_direction("outgoing");
  event.set_program("sshd");
  event.set_host("\xe6\x9d\xb1\xe4\xba\xac");
  event.set_origin("192.0.2.1");
  event.set_parse_error("an error");
  event.set_vendor_event_id("0000000013");
  event.add_flaws(event::v1::TRUNCATED);
  event.mutable_event_time()->set_nanos(987'654'321);
  return event;
}

event::v1::Event BareEvent(int number) {
  const event::v1::Event whole = MakeEvent("acme", number);
  event::v1::Event event;
  *event.mutable_receive_time() = whole.receive_time();
  return event;
}

// Times, numbers and texts as hostile senders have them.
std::vector<event::v1::Event> OddEvents() {
  std::vector<event::v1::Event> events;
  for (int i = 0; i < 6; ++i) events.push_back(FullEvent(i));
  events[0].mutable_event_time()->set_seconds(-631'152'000);  // 1950
  events[1].mutable_event_time()->set_seconds(9'223'372'036);
  events[1].mutable_event_time()->set_nanos(854'775'807);
  events[2].mutable_duration()->set_seconds(-5);
  events[2].mutable_duration()->set_nanos(-1);
  events[2].set_severity(static_cast<event::v1::Severity>(4711));
  events[2].set_action(static_cast<event::v1::Action>(200));
  events[3].mutable_src()->set_ip(std::string("\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\x01\x02\x03", 16));
  events[3].mutable_dst()->set_ip(std::string(16, '\0'));
  events[3].mutable_dst()->set_translated_ip("odd");
  events[4].set_message(std::string("\0\xff", 2));
  events[4].set_user(std::string("a\0b", 3));
  events[4].set_raw(std::string(100'000, '\xfe'));
  events[5].clear_event_time();
  events[5].clear_raw();
  for (int flaw = 1; flaw < 6; ++flaw) events[5].add_flaws(static_cast<event::v1::Flaw>(flaw));
  return events;
}

class RowProofTest : public ProofTest {
 protected:
  void InsertEvents(const std::string& token, const std::string& batch,
                    const std::vector<event::v1::Event>& events) {
    event::BatchBuilder builder({"acme", batch, BaseTime()});
    for (const event::v1::Event& event : events) builder.Add(event);
    InsertBatch(token, builder.Finish(), static_cast<int>(events.size()), &store_);
  }
  // Another value of the column.
  static std::string Forged(const EventColumn& column) {
    const std::string& type = column.type_name;
    if (type.find("String") != std::string::npos)
      return fmt::format("concat(`{}`, 'x')", column.name);
    if (type.starts_with("DateTime64")) {
      return fmt::format("fromUnixTimestamp64Nano(toUnixTimestamp64Nano(`{}`) + 1, 'UTC')",
                         column.name);
    }
    if (type == "IPv6") return "toIPv6('2001:db8::666')";
    if (type == "Array(UInt8)") return fmt::format("arrayPushBack(`{}`, 9)", column.name);
    return fmt::format("`{}` + 1", column.name);
  }
  static std::string UnitText(const std::string& token) {
    return fmt::format("{:016x}", UnitNumber(token));
  }
};

TEST_F(RowProofTest, AllColumnsAreProvenButThoseThatMayChange) {
  std::set<std::string> proven = {"id", "tenant", "receive_time", "origin", "raw"};
  for (const std::string_view name : ProvenColumns()) proven.emplace(name);
  std::set<std::string> wanted;
  for (const EventColumn& column : archive_.table.columns()) {
    if (!kNotProven.contains(column.name)) wanted.insert(column.name);
  }
  EXPECT_THAT(proven, ElementsAreArray(wanted)) << "one that is new needs another scheme";
}

TEST_F(RowProofTest, AForgedValueOfEachColumnIsFound) {
  std::set<std::string> forged;
  std::string changes;
  int number = 2 * kEvents;
  for (const EventColumn& column : archive_.table.columns()) {
    if (kNotProven.contains(column.name) || kKeys.contains(column.name)) continue;
    std::string where;
    for (const std::string kind : {"full", "bare"}) {
      const std::string batch = kind + "-" + column.name;
      const auto make = kind == "full" ? FullEvent : BareEvent;
      InsertEvents(batch, batch, {make(number), make(number + 1)});
      number += 2;
      forged.insert(UnitText(batch));
      where += fmt::format("{}id = '{}-1'", where.empty() ? "" : " OR ", batch);
    }
    changes += fmt::format("{}`{}` = if({}, {}, `{}`)", changes.empty() ? "" : ", ", column.name,
                           where, Forged(column), column.name);
  }
  ASSERT_THAT(sealer_.Turn(), IsOk());
  ASSERT_THAT(Flaws(), IsEmpty());
  Run(fmt::format("ALTER TABLE yagura.events UPDATE {} WHERE 1", changes));
  const v1::DayProof proof = Verify();
  std::set<std::string> found;
  for (const auto& flaw : proof.flaws()) {
    EXPECT_EQ(flaw.kind(), v1::EventFlaw::EVENT_ALTERED);
    found.insert(flaw.unit());
  }
  EXPECT_THAT(found, ElementsAreArray(forged));
  EXPECT_EQ(proof.verified_events(), 2u * kEvents) << "the others";
}

TEST_F(RowProofTest, ARowThatMovesToAnotherTimeIdOrTenantIsFound) {
  for (const std::string other :
       {"addNanoseconds(receive_time, 1) AS receive_time", "'a-x' AS id", "'beta' AS tenant"}) {
    Run(
        fmt::format("INSERT INTO yagura.events SELECT * REPLACE({}) FROM (SELECT * FROM "
                    "yagura.events WHERE id = 'a-17')",
                    other));
  }
  Run("ALTER TABLE yagura.events DELETE WHERE id = 'a-17' AND tenant = 'acme' AND receive_time = "
      "(SELECT min(receive_time) FROM yagura.events WHERE id = 'a-17')");
  EXPECT_THAT(Flaws(), ElementsAre(v1::EventFlaw::EVENT_ALTERED, v1::EventFlaw::EVENT_INSERTED));
  Run("ALTER TABLE yagura.events DELETE WHERE id = 'a-x'");
  EXPECT_THAT(Flaws(), ElementsAre(v1::EventFlaw::EVENT_ALTERED)) << "received a nanosecond later";
  EXPECT_THAT(Flaws("beta"), ElementsAre(v1::EventFlaw::EVENT_INSERTED));
}

TEST_F(RowProofTest, WhatIsReadBackIsWhatWasHashed) {
  InsertEvents("odd", "o", OddEvents());
  ASSERT_THAT(sealer_.Turn(), IsOk());
  v1::DayProof proof = Verify();
  EXPECT_THAT(proof.flaws(), IsEmpty()) << proof.DebugString();
  EXPECT_EQ(proof.verified_events(), 2u * kEvents + 6);
  Run("OPTIMIZE TABLE yagura.events FINAL");
  proof = Verify();
  EXPECT_THAT(proof.flaws(), IsEmpty()) << proof.DebugString();
}

// With what proof.proto says alone, in the store's own words.
TEST_F(RowProofTest, SomebodyElseCanComputeTheDigests) {
  InsertEvents("odd", "o", OddEvents());
  const std::vector<std::string> columns = {"event_time",
                                            "site",
                                            "device",
                                            "product",
                                            "category",
                                            "severity",
                                            "action",
                                            "src_ip",
                                            "src_port",
                                            "src_translated_ip",
                                            "src_translated_port",
                                            "src_host",
                                            "src_interface",
                                            "src_zone",
                                            "src_mac",
                                            "src_country",
                                            "dst_ip",
                                            "dst_port",
                                            "dst_translated_ip",
                                            "dst_translated_port",
                                            "dst_host",
                                            "dst_interface",
                                            "dst_zone",
                                            "dst_mac",
                                            "dst_country",
                                            "message",
                                            "protocol",
                                            "app",
                                            "bytes_out",
                                            "bytes_in",
                                            "packets_out",
                                            "packets_in",
                                            "duration",
                                            "rule",
                                            "signature_id",
                                            "signature",
                                            "user",
                                            "url",
                                            "session",
                                            "virtual_context",
                                            "direction",
                                            "program",
                                            "host",
                                            "flaws",
                                            "parse_error",
                                            "vendor_event_id"};
  std::string sql;
  for (size_t i = 0; i < columns.size(); ++i) {
    const std::string& name = columns[i];
    const std::set<std::string> numbers = {
        "severity",  "action",   "src_port",    "src_translated_port", "dst_port",
        "bytes_out", "bytes_in", "packets_out", "dst_translated_port", "packets_in",
        "duration"};
    std::string value;
    std::string none = fmt::format("empty(`{}`)", name);
    if (name == "event_time") {
      none = "toUnixTimestamp64Nano(event_time) = 0";
      value = BigEndianSql("toUnixTimestamp64Nano(event_time)");
    } else if (numbers.contains(name)) {
      none = fmt::format("`{}` = 0", name);
      value = BigEndianSql(name);
    } else if (name.ends_with("_ip")) {
      none = fmt::format("`{}` = toIPv6('::')", name);
      value = fmt::format("unhex(hex(IPv6StringToNum(toString(`{}`))))", name);
    } else if (name == "flaws") {
      value = fmt::format("concat({}, arrayStringConcat(arrayMap(x -> char(x), flaws)))",
                          BigEndianSql("length(flaws)", 32));
    } else {
      value = fmt::format("concat({}, toString(`{}`))",
                          BigEndianSql(fmt::format("length(`{}`)", name), 32), name);
    }
    sql += fmt::format(", if({}, '', concat(char({}), {}))", none, i + 1, value);
  }
  const std::string event =
      fmt::format("unhex(hex(SHA256(concat({}, {}, id, {}, toString(origin), {}, raw{}))))",
                  BigEndianSql("toUnixTimestamp64Nano(receive_time)"), BigEndianSql("length(id)"),
                  BigEndianSql("length(origin)"), BigEndianSql("length(raw)"), sql);
  EXPECT_EQ(Number(fmt::format(
                "SELECT count() FROM (SELECT unit, "
                "SHA256(concat('yagura.events.unit.v2\\0', arrayStringConcat(arrayMap(x -> x.3, "
                "arraySort(groupArray((receive_time, id, {}))))))) AS computed FROM yagura.events "
                "GROUP BY unit) AS e JOIN yagura.event_units AS u ON e.unit = u.unit WHERE "
                "e.computed = u.digest AND u.scheme = 2",
                event)),
            3u);
}

TEST_F(RowProofTest, ADayThatAReleaseBeforeBeganGoesOn) {
  InsertByScheme1("by scheme 1", "y", 0, kEvents, "beta");
  SealByScheme(3, "beta");
  EXPECT_THAT(Flaws("beta"), IsEmpty()) << "before anything new is there";
  InsertByScheme1("not sealed yet", "x", kEvents, kEvents, "beta");
  Insert("three", "z", 2 * kEvents, kEvents, "beta");
  ASSERT_THAT(sealer_.Turn(), IsOk());
  EXPECT_EQ(sealer_.strange(), 0u);
  v1::DayProof proof = Verify("beta");
  EXPECT_THAT(proof.flaws(), IsEmpty()) << proof.DebugString();
  EXPECT_EQ(proof.verified_events(), 3u * kEvents);
  ASSERT_OK_AND_ASSIGN(const auto heads, store_.Heads("beta", day_));
  ASSERT_THAT(heads, SizeIs(2));
  EXPECT_EQ(heads[0].scheme(), 3u);
  EXPECT_EQ(heads[1].scheme(), 4u);
  EXPECT_EQ(memory_.Recall("beta", day_)->scheme, 4u);
  // Each is proven as far as its scheme goes.
  Run("ALTER TABLE yagura.events UPDATE device = 'forged' WHERE id = 'y-17'");
  EXPECT_THAT(Flaws("beta"), IsEmpty()) << "the raw line says what it was";
  Run("ALTER TABLE yagura.events UPDATE raw = 'forged' WHERE id = 'y-17'");
  Run("ALTER TABLE yagura.events UPDATE device = 'forged' WHERE id = 'z-17'");
  proof = Verify("beta");
  ASSERT_THAT(proof.flaws(), SizeIs(2)) << proof.DebugString();
  std::set<std::string> units;
  for (const auto& flaw : proof.flaws()) units.insert(flaw.unit());
  EXPECT_EQ(units, (std::set<std::string>{UnitText("by scheme 1"), UnitText("three")}));
  EXPECT_THAT(proof.flaws(),
              Each(::testing::Property(&v1::EventFlaw::kind, v1::EventFlaw::EVENT_ALTERED)));
}

TEST_F(RowProofTest, ARangeThatAReleaseBeforeStoredMayComeAgain) {
  InsertByScheme1("again", "y", 0, kEvents, "beta");
  Insert("again", "y", 0, kEvents, "beta");
  ASSERT_THAT(sealer_.Turn(), IsOk());
  Insert("again", "y", 0, kEvents, "beta");
  clock_->Advance(minutes(61));
  ASSERT_THAT(sealer_.Turn(), IsOk());
  EXPECT_THAT(Flaws("beta"), IsEmpty());
  EXPECT_EQ(Verify("beta").verified_events(), uint64_t{kEvents});
  EXPECT_EQ(sealer_.strange() + sealer_.missing(), 0u);
}

TEST_F(RowProofTest, WhichSchemeAUnitIsOfIsSealed) {
  for (const int scheme : {1, 9}) {
    Run(fmt::format("ALTER TABLE yagura.event_units UPDATE scheme = {} WHERE unit = {}", scheme,
                    UnitNumber("one")));
    EXPECT_THAT(Flaws(), Contains(v1::EventFlaw::UNIT_ALTERED)) << scheme;
  }
  EXPECT_EQ(Verify().verified_events(), uint64_t{kEvents}) << "the other unit's";
  // A head of before has units of scheme 1 alone, whatever they say.
  InsertByScheme1("by scheme 1", "y", 0, kEvents, "beta");
  SealByScheme(3, "beta");
  Run("ALTER TABLE yagura.event_units UPDATE scheme = 9 WHERE tenant = 'beta'");
  EXPECT_THAT(Flaws("beta"), ElementsAre(v1::EventFlaw::UNIT_ALTERED));
}

TEST_F(RowProofTest, AUnitOfALaterSchemeIsNotSealed) {
  Insert("three", "c", 2 * kEvents, kEvents);
  const std::string three = fmt::format(" WHERE unit = {}", UnitNumber("three"));
  Run("ALTER TABLE yagura.event_units UPDATE scheme = 9" + three);
  ASSERT_OK_AND_ASSIGN(const auto units, store_.Units("acme", day_));
  ASSERT_THAT(ledger_.Note({units.at(UnitNumber("three"))}), IsOk()) << "as that release did";
  ASSERT_THAT(sealer_.Turn(), IsOk());
  EXPECT_THAT(store_.Heads("acme", day_).value(), SizeIs(1));
  EXPECT_EQ(sealer_.strange(), 0u);
  const v1::DayProof proof = Verify();
  EXPECT_THAT(proof.flaws(), IsEmpty()) << proof.DebugString();
  EXPECT_EQ(proof.unsealed_units(), 1u);
  EXPECT_EQ(proof.verified_events(), 2u * kEvents);
  EXPECT_EQ(proof.later_events(), uint64_t{kEvents});
  Run("ALTER TABLE yagura.event_units UPDATE stored = now() - 7200" + three);
  EXPECT_THAT(Flaws(), ElementsAre(v1::EventFlaw::UNIT_UNSEALED));
}

}  // namespace
}  // namespace yagura::archive
