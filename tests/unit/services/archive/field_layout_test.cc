// Original fields that lie in core columns come back as they were, from the batch, from the store,
// and from a store that the release before has filled.
#include "services/archive/domain/field_layout.h"

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/clock/proto_time.h"
#include "common/eventstore/client.h"
#include "common/filter/filter.h"
#include "common/testing/event_store.h"
#include "common/testing/status_matchers.h"
#include "services/archive/domain/event_block.h"
#include "services/archive/domain/event_table.h"
#include "services/archive/storage/migrations.h"
#include "yagura/event/v1/event.pb.h"

namespace yagura::archive {
namespace {

using event::v1::Event;
using ::testing::ElementsAre;
using testing::IsOk;

TimePoint Today() { return std::chrono::floor<std::chrono::days>(SystemClock()->Now()); }

void AddField(Event* event, std::string_view name, std::string_view value) {
  auto* field = event->add_fields();
  field->set_name(std::string(name));
  field->set_value(std::string(value));
}

// Of a firewall, with fields that say what the core says.
Event FirewallEvent() {
  Event event;
  *event.mutable_receive_time() = ToProto(Today());
  *event.mutable_event_time() = ToProto(TimePoint(std::chrono::nanoseconds(1790000000123456789)));
  event.set_raw("the line");
  event.mutable_src()->set_ip(std::string("\x0a\x01\x01\x24", 4));
  event.mutable_src()->set_port(28069);
  event.set_bytes_out(0);
  event.set_session("77");
  event.set_user("erin");
  event.mutable_duration()->set_seconds(12);
  AddField(&event, "type", "traffic");
  AddField(&event, "srcip", "10.1.1.36");
  AddField(&event, "srcport", "28069");
  AddField(&event, "odd", "10.1.1.36");
  AddField(&event, "sentbyte", "0");
  AddField(&event, "sessionid", "77");
  AddField(&event, "eventtime", "1790000000123456789");
  AddField(&event, "duration", "12");
  AddField(&event, "user", "erin");
  AddField(&event, "user", "erin");
  AddField(&event, "last", "x");
  return event;
}

std::string BatchOf(const std::vector<Event>& events, const std::string& id) {
  event::BatchBuilder builder({"acme", id, Today()});
  for (const Event& event : events) builder.Add(event);
  return builder.Finish();
}

std::vector<std::string> StoredNames(const std::vector<Event>& events, size_t row) {
  const std::string payload = BatchOf(events, "b");
  const auto batch = BatchRows::Open(payload);
  EXPECT_THAT(batch, IsOk());
  std::vector<std::string> names;
  const auto& layouts = batch->layouts();
  for (const uint16_t source : layouts.layouts()[layouts.Of(row)].stored) {
    names.emplace_back(batch->fields().sources[source].name);
  }
  return names;
}

std::vector<std::string> FieldsOf(const Event& event) {
  std::vector<std::string> texts;
  for (const auto& field : event.fields()) {
    texts.push_back(fmt::format("{}={}", field.name(), field.value()));
  }
  return texts;
}

TEST(FieldLayouts, KeepsInTheMapOnlyWhatNoCoreColumnSays) {
  EXPECT_THAT(StoredNames({FirewallEvent()}, 0), ElementsAre("type", "odd", "user", "last"));
}

TEST(FieldLayouts, AFieldThatSaysSomethingElseThanItsColumnStaysInTheMap) {
  Event event = FirewallEvent();
  event.mutable_fields(1)->set_value("010.1.1.36");
  event.mutable_fields(2)->set_value("+28069");
  event.mutable_fields(7)->set_value("12.0");
  EXPECT_THAT(StoredNames({FirewallEvent(), event}, 1),
              ElementsAre("type", "srcip", "srcport", "odd", "duration", "user", "last"));
}

TEST(FieldLayouts, RestoringBearsBrokenLayouts) {
  // Written with # for the beginning of an entry and @ for its place.
  for (std::string layout : {"#", "#@", "#9srcip", "#9srcip@x", "9srcip@1", "#9a@-4", "#9a@99"}) {
    for (char& c : layout) c = c == '#' ? '\x1e' : c == '@' ? '\x1f' : c;
    Event event = FirewallEvent();
    RestoreFields(layout, &event);
    EXPECT_GE(event.fields_size(), 11) << layout;
  }
}

class StoredFields : public ::testing::Test {
 protected:
  void Migrate() { ASSERT_THAT(archive::Migrate(store_.client(), table_, Logger::Null()), IsOk()); }

  void Insert(const std::vector<Event>& events, const std::string& id) {
    const std::string payload = BatchOf(events, id);
    auto batch = BatchRows::Open(payload);
    ASSERT_THAT(batch, IsOk());
    batch->KeepFor(std::chrono::hours(24 * 30));
    EventBlock block(table_);
    block.Add(*batch);
    std::string body;
    for (const std::string& piece : block.Take()) body += piece;
    ASSERT_THAT(store_.client().Insert({.sql = table_.insert_sql()}, body), IsOk());
  }

  std::vector<Event> Find(const std::string& filter_text) {
    const auto filter = filter::Filter::Parse(filter_text, filter::EventSchema());
    EXPECT_THAT(filter, IsOk());
    const auto where = filter->ToSql(table_.column_map());
    EXPECT_THAT(where, IsOk());
    const auto found = store_.client().Select(
        {.sql = fmt::format("SELECT {} FROM yagura.events WHERE {} ORDER BY id",
                            table_.column_list(), where->where),
         .parameters = where->parameters});
    EXPECT_THAT(found, IsOk());
    std::vector<Event> events;
    if (!found.ok()) return events;
    for (const auto& row : found->rows) table_.Decode(row, &events.emplace_back());
    return events;
  }

  testing::EventStore store_;
  const EventTable table_;
};

TEST_F(StoredFields, ComeBackInTheirOrderAndAreFoundByTheirNames) {
  Migrate();
  Event other = FirewallEvent();
  other.mutable_fields(1)->set_value("elsewhere");
  other.mutable_fields()->RemoveLast();
  other.clear_user();
  Insert({FirewallEvent(), other}, "a");
  const auto all = Find("");
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(FieldsOf(all[0]), FieldsOf(FirewallEvent()));
  EXPECT_EQ(FieldsOf(all[1]), FieldsOf(other));
  EXPECT_EQ(Find("fields.srcip = 10.1.1.36").size(), 1u);
  EXPECT_EQ(Find("fields.srcip = elsewhere").size(), 1u);
  EXPECT_EQ(Find("fields.sentbyte = 0 fields.sessionid = 77 fields.duration > 11").size(), 2u);
  EXPECT_EQ(Find("fields.eventtime = 1790000000123456789").size(), 2u);
  EXPECT_EQ(Find("fields.user = erin").size(), 2u);
  EXPECT_EQ(Find("fields.dstip:*").size(), 0u);
}

TEST_F(StoredFields, OfTheReleaseBeforeStayReadable) {
  Migrate();
  // The schema of before: no layout, all fields in a map of plain values.
  const std::string insert =
      "INSERT INTO yagura.events (id, tenant, receive_time, src_ip, fields, expires) SELECT 'old', "
      "'acme', now64(9), toIPv6('10.1.1.36'), map('type', 'traffic', 'srcip', '10.1.1.36'), now() "
      "+ "
      "INTERVAL 30 DAY";
  for (const std::string& sql : std::vector<std::string>{
           "ALTER TABLE yagura.events DROP COLUMN layout",
           "ALTER TABLE yagura.events DROP INDEX folded_words",
           "ALTER TABLE yagura.events DROP COLUMN folded",
           "ALTER TABLE yagura.events MODIFY COLUMN fields Map(LowCardinality(String), String)",
           "ALTER TABLE yagura.events MODIFY SETTING map_serialization_version = 'with_buckets'",
           "ALTER TABLE yagura.schema_version DELETE WHERE version >= 5 SETTINGS mutations_sync = "
           "1",
           insert}) {
    ASSERT_THAT(store_.client().Execute({.sql = sql}), IsOk()) << sql;
  }
  Migrate();
  Insert({FirewallEvent()}, "new");
  const auto found = Find("fields.srcip = 10.1.1.36 fields.type = traffic");
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(FieldsOf(found[0]), FieldsOf(FirewallEvent()));
  EXPECT_THAT(FieldsOf(found[1]), ElementsAre("type=traffic", "srcip=10.1.1.36"));
}

}  // namespace
}  // namespace yagura::archive
