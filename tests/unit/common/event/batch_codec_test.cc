#include "common/event/batch_codec.h"

#include <random>

#include "google/protobuf/util/message_differencer.h"

#include "common/clock/proto_time.h"
#include "common/event/event_view.h"
#include "common/testing/fortigate_lines.h"
#include "common/testing/status_matchers.h"
#include "yagura/event/v1/event.pb.h"

namespace yagura::event {
namespace {

using google::protobuf::util::MessageDifferencer;
using testing::IsOk;
using testing::StatusIs;
using Compression = BatchBuilder::Compression;

BatchHeader Header() { return {"acme", "batch1", TimePoint(std::chrono::seconds(1'790'000'000))}; }

v1::Event FullEvent() {
  v1::Event event;
  event.set_site("hq");
  event.set_device("fw1");
  event.mutable_receive_time()->set_seconds(1'790'000'001);
  event.mutable_receive_time()->set_nanos(7);
  event.mutable_event_time()->set_seconds(-5);
  event.set_raw(std::string("raw\0\xff line", 10));
  event.set_product("fortinet.fortigate");
  event.set_category("traffic");
  event.set_severity(v1::HIGH);
  event.set_action(v1::BLOCKED);
  for (v1::Endpoint* end : {event.mutable_src(), event.mutable_dst()}) {
    end->set_ip(std::string("\x0a\0\0\1", 4));
    end->set_port(65535);
    end->set_translated_ip(std::string(16, '\x20'));
    end->set_translated_port(1);
    end->set_host("host");
    end->set_interface("port1");
    end->set_zone("lan");
    end->set_mac("aa:bb:cc:dd:ee:ff");
    end->set_country("Japan");
  }
  event.mutable_dst()->set_port(80);
  event.set_message("msg \xfe");
  for (const auto& [name, value] : std::initializer_list<std::pair<const char*, const char*>>{
           {"b", "1"}, {"a", "2"}, {"b", "3"}, {"", ""}, {"b", "1"}}) {
    v1::Field* field = event.add_fields();
    field->set_name(name);
    field->set_value(value);
  }
  event.set_protocol("tcp");
  event.set_app("https");
  event.set_bytes_out(UINT64_MAX);
  event.set_bytes_in(1);
  event.set_packets_out(2);
  event.set_packets_in(3);
  event.mutable_duration()->set_seconds(4);
  event.set_rule("12");
  event.set_signature_id("51006");
  event.set_signature("Log4j");
  event.set_user("alice");
  event.set_url("http://www.example.com/");
  event.set_session("s");
  event.set_virtual_context("root");
  event.set_direction("inbound");
  event.set_program("sshd");
  event.set_host("fw1");
  event.set_origin("192.0.2.1");
  event.add_flaws(v1::TRUNCATED);
  event.add_flaws(v1::PARTLY_PARSED);
  event.set_parse_error("odd");
  event.set_vendor_event_id("0000000013");
  return event;
}

v1::Event RandomEvent(std::mt19937_64& random) {
  const auto below = [&](uint64_t n) { return random() % n; };
  const auto text = [&] {
    std::string value(below(12), '\0');
    for (char& c : value) c = static_cast<char>(below(256));
    return value;
  };
  v1::Event event;
  event.set_raw(text() + text());
  event.mutable_receive_time()->set_seconds(static_cast<int64_t>(below(2'000'000'000)));
  if (below(2)) event.set_bytes_in(random());
  if (below(2)) event.mutable_src()->set_port(static_cast<uint32_t>(1 + below(300)));
  if (below(2)) event.set_user("user" + std::to_string(below(400)));
  for (uint64_t i = below(6); i > 0; --i) {
    v1::Field* field = event.add_fields();
    field->set_name("f" + std::to_string(below(5)));
    field->set_value(text());
  }
  return event;
}

void ExpectRoundTrip(const std::vector<v1::Event>& events, Compression compression) {
  BatchBuilder builder(Header());
  for (const v1::Event& event : events) builder.Add(event);
  const std::string bytes = builder.Finish(compression);
  ASSERT_OK_AND_ASSIGN(BatchReader reader, BatchReader::Open(bytes));
  ASSERT_EQ(reader.size(), events.size());
  EXPECT_EQ(reader.header().receive_time, Header().receive_time);
  for (size_t i = 0; i < events.size(); ++i) {
    v1::Event expected = events[i];
    expected.set_tenant("acme");
    expected.set_id("batch1-" + std::to_string(i));
    v1::Event actual;
    ASSERT_THAT(reader.Get(i, &actual), IsOk());
    ASSERT_TRUE(MessageDifferencer::Equals(actual, expected)) << actual.ShortDebugString() << "\n"
                                                              << expected.ShortDebugString();
    EXPECT_EQ(*reader.Raw(i), events[i].raw());
  }
}

// A new field of the message must not be forgotten by the codec.
TEST(BatchCodecTest, FullEventOfTheTestSetsEveryField) {
  const v1::Event event = FullEvent();
  const auto* reflection = v1::Event::GetReflection();
  std::vector<const google::protobuf::FieldDescriptor*> set;
  reflection->ListFields(event, &set);
  EXPECT_EQ(set.size() + 2, static_cast<size_t>(v1::Event::descriptor()->field_count()))
      << "all but id and tenant";
}

TEST(BatchCodecTest, EveryFieldComesBack) {
  for (const auto compression : {Compression::kNone, Compression::kLz4, Compression::kZstd}) {
    ExpectRoundTrip({FullEvent(), v1::Event(), FullEvent()}, compression);
  }
}

TEST(BatchCodecTest, EmptyBatchComesBack) { ExpectRoundTrip({}, Compression::kZstd); }

TEST(BatchCodecTest, RandomEventsComeBack) {
  for (uint64_t seed = 0; seed < 60; ++seed) {
    std::mt19937_64 random(seed);
    std::vector<v1::Event> events(random() % 600);
    for (v1::Event& event : events) event = RandomEvent(random);
    SCOPED_TRACE(seed);
    ExpectRoundTrip(events, Compression::kZstd);
  }
}

TEST(BatchCodecTest, TheHeadSaysHowManyEventsThereAre) {
  BatchBuilder builder(Header());
  EXPECT_EQ(ClaimedEvents(builder.Finish()), 0u);
  for (int i = 0; i < 300; ++i) builder.Add(FullEvent());
  const std::string batch = builder.Finish();
  EXPECT_EQ(ClaimedEvents(batch), 300u);
  EXPECT_EQ(BatchReader::Open(batch)->size(), 300u);
  EXPECT_EQ(ClaimedEvents(std::string_view(batch).substr(0, 31)), 0u);
  EXPECT_EQ(ClaimedEvents(std::string(32, '\xff')), 0u);
}

TEST(BatchCodecTest, ABuilderIsReusable) {
  BatchBuilder builder(Header());
  builder.Add(FullEvent());
  const std::string first = builder.Finish();
  EXPECT_EQ(builder.size(), 0u);
  builder.Add(FullEvent());
  EXPECT_EQ(builder.Finish(), first);
}

TEST(BatchCodecTest, ColumnsHoldDistinctValuesOnce) {
  BatchBuilder builder(Header());
  for (int i = 0; i < 100; ++i) {
    v1::Event event;
    event.mutable_dst()->set_port(i % 2 == 0 ? 443 : 80);
    event.set_action(i % 10 == 0 ? v1::BLOCKED : v1::ACTION_UNSPECIFIED);
    v1::Field* field = event.add_fields();
    field->set_name("policyid");
    field->set_value(std::to_string(i % 3));
    builder.Add(event);
  }
  const std::string bytes = builder.Finish();
  ASSERT_OK_AND_ASSIGN(BatchReader reader, BatchReader::Open(bytes));
  ASSERT_OK_AND_ASSIGN(const Column* port, reader.Read(Core::kDstPort));
  EXPECT_EQ(port->distinct(), 2u);
  EXPECT_EQ(port->number(0), 443u);
  EXPECT_EQ(port->number(1), 80u);
  ASSERT_OK_AND_ASSIGN(const Column* action, reader.Read(Core::kAction));
  EXPECT_TRUE(action->has(10));
  EXPECT_FALSE(action->has(11));
  ASSERT_OK_AND_ASSIGN(const Column* policy, reader.ReadField("policyid"));
  EXPECT_EQ(policy->texts, (std::vector<std::string_view>{"0", "1", "2"}));
  EXPECT_EQ(policy->text(5), "2");
  ASSERT_OK_AND_ASSIGN(const Column* none, reader.ReadField("nothing"));
  EXPECT_TRUE(none->empty());
  ASSERT_OK_AND_ASSIGN(const Column* user, reader.Read(Core::kUser));
  EXPECT_EQ(user->text(3), "");
  EXPECT_EQ(reader.field_names(), (std::vector<std::string_view>{"policyid"}));
}

TEST(BatchCodecTest, RepeatedNamesHaveAColumnEach) {
  BatchBuilder builder(Header());
  builder.Add(FullEvent());
  const std::string bytes = builder.Finish();
  ASSERT_OK_AND_ASSIGN(BatchReader reader, BatchReader::Open(bytes));
  ASSERT_OK_AND_ASSIGN(const auto columns, reader.ReadFieldAll("b"));
  ASSERT_EQ(columns.size(), 3u);
  EXPECT_EQ(columns[0]->text(0), "1");
  EXPECT_EQ(columns[1]->text(0), "3");
  EXPECT_EQ(columns[2]->text(0), "1");
}

TEST(BatchCodecTest, FieldsKeepTheOrderOfTheirEvent) {
  BatchBuilder builder(Header());
  v1::Event event;
  for (const char* name : {"z", "a", "z"}) {
    event.add_fields()->set_name(name);
    event.mutable_fields(event.fields_size() - 1)->set_value(std::string(name) + "!");
  }
  builder.Add(event);
  builder.Add(v1::Event());
  ASSERT_OK_AND_ASSIGN(BatchReader reader, BatchReader::Open(builder.Finish()));
  ASSERT_OK_AND_ASSIGN(const FieldTable* fields, reader.ReadFields());
  ASSERT_EQ(fields->rows.size(), 2u);
  EXPECT_EQ(fields->rows[1], 0) << "an event without fields";
  ASSERT_NE(fields->rows[0], 0);
  std::vector<std::pair<std::string, uint64_t>> seen;
  for (const uint16_t source : fields->orders[fields->rows[0] - 1]) {
    const auto& field = fields->sources[source];
    seen.emplace_back(field.name, field.occurrence);
    EXPECT_EQ(field.column->text(0), std::string(field.name) + "!");
  }
  const std::vector<std::pair<std::string, uint64_t>> expected = {{"z", 0}, {"a", 0}, {"z", 1}};
  EXPECT_EQ(seen, expected);
}

TEST(BatchCodecTest, TextFieldsBecomeValidUtf8AndBytesStay) {
  v1::Event event;
  EventView view;
  view.user =
      "b\xff"
      "b";
  view.fields = {{"n\xfe", "v\xfd"}};
  BatchBuilder builder(Header());
  builder.Add(view);
  builder.Add(view);
  const std::string bytes = builder.Finish();
  ASSERT_OK_AND_ASSIGN(BatchReader reader, BatchReader::Open(bytes));
  ASSERT_THAT(reader.Get(1, &event), IsOk());
  EXPECT_EQ(event.user(),
            "b\xef\xbf\xbd"
            "b");
  EXPECT_EQ(event.fields(0).name(), "n\xef\xbf\xbd");
  EXPECT_EQ(event.fields(0).value(), "v\xfd");
  EXPECT_EQ(reader.field_names().size(), 1u);
}

TEST(BatchCodecTest, ManyDistinctFieldNamesFillTheBatchBeforeTheReaderRefuses) {
  BatchBuilder builder(Header());
  size_t added = 0;
  while (!builder.full()) {
    EventView view;
    std::vector<std::string> names;
    for (size_t i = 0; i < 4096; ++i) names.push_back(std::to_string(added * 4096 + i));
    for (const std::string& name : names) view.fields.push_back({name, "x"});
    builder.Add(view);
    ++added;
  }
  const std::string bytes = builder.Finish();
  ASSERT_OK_AND_ASSIGN(BatchReader reader, BatchReader::Open(bytes));
  v1::Event event;
  ASSERT_THAT(reader.Get(added - 1, &event), IsOk());
  EXPECT_EQ(event.fields_size(), 4096);
}

// Whatever comes: a batch that was written can be read.
TEST(BatchCodecTest, AnEventThatIsTooLargeIsCutAndItsBatchCanBeRead) {
  const std::string line((64u << 20) + 1, 'x');
  const std::string broken(40u << 20, '\xff');  // each byte becomes three
  for (const bool raw : {true, false}) {
    BatchBuilder builder(Header());
    EventView before;
    before.raw = std::string_view(line).substr(0, 15u << 20);  // just not full
    builder.Add(before);
    ASSERT_FALSE(builder.full());
    EventView view;
    view.rule = raw ? std::string_view("short") : broken;
    view.raw = raw ? std::string_view(line) : "short";
    view.fields = {{"a", raw ? std::string_view("b") : line}, {"last", "value"}};
    builder.Add(view);
    EXPECT_TRUE(builder.full());
    const std::string bytes = builder.Finish();
    ASSERT_OK_AND_ASSIGN(BatchReader reader, BatchReader::Open(bytes));
    v1::Event event;
    ASSERT_THAT(reader.Get(0, &event), IsOk());
    EXPECT_TRUE(event.flaws().empty());
    ASSERT_THAT(reader.Get(1, &event), IsOk());
    EXPECT_THAT(event.flaws(), ::testing::ElementsAre(v1::TRUNCATED));
    EXPECT_EQ(event.raw().size(), raw ? 16u << 20 : 5u);
    EXPECT_EQ(event.rule().size(), raw ? 5u : 24u << 20);
    EXPECT_EQ(event.fields_size(), 2);
  }
}

TEST(BatchCodecTest, DamageIsRefused) {
  BatchBuilder builder(Header());
  for (int i = 0; i < 20; ++i) builder.Add(FullEvent());
  const std::string good = builder.Finish();
  for (size_t i = 0; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 0x41);
    EXPECT_THAT(BatchReader::Open(bad), StatusIs(absl::StatusCode::kInvalidArgument, "BAD_BATCH"))
        << i;
    EXPECT_THAT(BatchReader::Open(good.substr(0, i)),
                StatusIs(absl::StatusCode::kInvalidArgument, "BAD_BATCH"));
  }
}

TEST(BatchCodecTest, IdsAreDeterministicAndTellPartsApart) {
  // The same in every release: senders repeat batches across an upgrade.
  EXPECT_EQ(BatchIdOf({"a", "bc"}), "t8eccslhf9e9jkjja0t2j2b5ts");
  EXPECT_NE(BatchIdOf({"a", "bc"}), BatchIdOf({"ab", "c"}));
  EXPECT_EQ(BatchIdOf({"a"}).size(), 26u);
  EXPECT_EQ(BatchIdOf({"a"}).find_first_not_of("0123456789abcdefghijklmnopqrstuv"),
            std::string::npos);
}

TEST(FortigateLinesTest, TheSameSeedGivesTheSameLines) {
  testing::FortigateLines a;
  testing::FortigateLines b;
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(a.Next(), b.Next());
  EXPECT_EQ(a.counts().lines, 1000u);
  EXPECT_GT(a.counts().denied, 50u);
  EXPECT_GT(a.counts().logins_failed, 3u);
}

}  // namespace
}  // namespace yagura::event
