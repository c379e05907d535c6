#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "cli/commands/command.h"
#include "cli/data_dir.h"
#include "cli/event_json.h"
#include "cli/render.h"
#include "cli/send/line_source.h"
#include "cli/send/syslog_sender.h"
#include "cli/time_left.h"
#include "cli/time_range.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/clock/proto_time.h"
#include "common/json/message_json.h"
#include "common/testing/process.h"
#include "yagura/archive/v1/flow.pb.h"
#include "yagura/archive/v1/proof.pb.h"
#include "yagura/config/v1/change.pb.h"
#include "yagura/event/v1/event.pb.h"

namespace yagura::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class TempFolder : public testing::TemporaryFolder {
 public:
  std::string Write(const std::string& name, const std::string& text) const {
    std::ofstream(path() / name) << text;
    return (path() / name).string();
  }
};

event::v1::Event SomeEvent() {
  event::v1::Event event;
  event.set_tenant("acme");
  event.set_action(event::v1::BLOCKED);
  event.mutable_src()->set_ip(std::string("\xc0\x00\x02\x01", 4));
  event.set_bytes_out(1ull << 60);
  event.set_raw("\x1b[2Jhostile \xff");
  *event.mutable_event_time() = ToProto(TimePoint(std::chrono::seconds(1'700'000'000)));
  for (const auto& [name, value] : {std::pair{"policyid", "7"}, {"tag", "a"}, {"tag", "b"}}) {
    auto& field = *event.add_fields();
    field.set_name(name);
    field.set_value(value);
  }
  return event;
}

TEST(TimeLeft, IsToldFromHowFarItHasComeSinceItBegan) {
  using std::chrono::minutes;
  EXPECT_EQ(TimeLeft(0.25, minutes(5)), "15 min at 5 %/min");
  EXPECT_EQ(TimeLeft(0.75, minutes(90)), "30 min at 0.83 %/min");
  EXPECT_EQ(TimeLeft(0.01, minutes(6)), "10 h at 0.17 %/min");
  EXPECT_EQ(TimeLeft(0, minutes(5)), "");
  EXPECT_EQ(TimeLeft(1, minutes(5)), "");
  EXPECT_EQ(TimeLeft(0.5, minutes(-5)), "");  // the clocks differ
}

TEST(MessageToJson, ShowsAddressesTimesAndOriginalFieldsAsPeopleWriteThem) {
  const std::string json = MessageToJson(SomeEvent());
  EXPECT_THAT(json, HasSubstr(R"("src":{"ip":"192.0.2.1"})"));
  EXPECT_THAT(json, HasSubstr(R"("event_time":"2023-11-14T22:13:20Z")"));
  EXPECT_THAT(json, HasSubstr(R"("bytes_out":1152921504606846976)"));
  EXPECT_THAT(json, HasSubstr(R"("fields":{"policyid":"7","tag":["a","b"]})"));
  EXPECT_THAT(json, HasSubstr("\\u001b[2Jhostile \xef\xbf\xbd"));
}

TEST(MessageToJson, LosesNothingOfSignaturesAndKeys) {
  archive::v1::EventHead head;
  head.set_day(20780);
  head.set_hash("\xff\x01");
  head.set_signature("\xff\xfe\x9b");
  EXPECT_EQ(MessageToJson(head), R"({"day":"2026-11-23","hash":"ff01","signature":"//6b"})");
  EXPECT_EQ(Cell(head, "day"), "2026-11-23");
  EXPECT_EQ(Cell(head, "signature"), "//6b");
  head.set_day(INT64_MAX);
  EXPECT_THAT(MessageToJson(head), HasSubstr(R"("day":"9223372036854775807")"));
}

TEST(MessageToJson, WritesZerosWhereAsked) {
  EXPECT_THAT(MessageToJson(SomeEvent()), Not(HasSubstr("bytes_in")));
  EXPECT_THAT(MessageToJson(SomeEvent(), true), HasSubstr(R"("bytes_in":0)"));
}

TEST(Renderer, LosesNoBytesOfALine) {
  auto event = SomeEvent();
  event.set_raw("\x83\x65 line");
  for (const Format format : {Format::kJson, Format::kJsonLines}) {
    Renderer renderer(format, {});
    renderer.Add(event);
    EXPECT_THAT(renderer.Finish(), HasSubstr(R"("raw_base64":"g2UgbGluZQ==")"));
  }
  event::v1::Event read;
  ASSERT_TRUE(ReadEvent(EventToJson(event), read).ok());
  EXPECT_EQ(read.ShortDebugString(), event.ShortDebugString());
}

TEST(Cell, MakesTerminalEscapesVisible) {
  EXPECT_EQ(Cell(SomeEvent(), "raw"), "\\x1b[2Jhostile \\xff");
  EXPECT_EQ(Cell(SomeEvent(), "src.ip"), "192.0.2.1");
  EXPECT_EQ(Cell(SomeEvent(), "fields.policyid"), "7");
  EXPECT_EQ(Cell(SomeEvent(), "dst.ip"), "");
  EXPECT_EQ(Cell(SomeEvent(), "severity"), "");
}

TEST(Cell, IsEmptyForAPortThatIsNotThere) {
  auto event = SomeEvent();
  EXPECT_EQ(Cell(event, "src.port"), "");
  event.mutable_src()->set_port(22);
  EXPECT_EQ(Cell(event, "src.port"), "22");
  EXPECT_EQ(Cell(event, "bytes_in"), "0");
  archive::v1::Flow flow;
  flow.set_src_ip("x");
  EXPECT_EQ(Cell(flow, "dst_port"), "");
  flow.set_dst_port(53);
  EXPECT_EQ(Cell(flow, "dst_port"), "53");
}

TEST(MessageToText, ShowsTextsOfSeveralLinesAsBlocksAlsoInside) {
  config::v1::Change change;
  change.set_title("t");
  change.set_diff(" chain input {\n-\tip saddr 192.0.2.1\tdrop\n\n+\x1b[2J\r\n");
  change.mutable_apply()->set_error_reason("DRIFT");
  change.mutable_apply()->set_drift_diff("-a\n+b\n");
  EXPECT_EQ(MessageToText(change),
            "title:  t\n"
            "diff:\n"
            "   chain input {\n"
            "  -       ip saddr 192.0.2.1      drop\n"
            "\n"
            "  +\\x1b[2J\n"
            "apply:\n"
            "  error_reason:  DRIFT\n"
            "  drift_diff:\n"
            "    -a\n"
            "    +b\n");
}

TEST(Renderer, TakesAColumnsTextInPlaceOfAPath) {
  Renderer renderer(Format::kTable, {{"A", "", 60, [](const auto&) { return "\x1b!"; }}});
  renderer.Add(SomeEvent());
  EXPECT_EQ(renderer.Finish(), "A\n\\x1b!\n");
}

TEST(Renderer, AlignsColumnsAlsoForWideCharactersAndCutsLongValues) {
  Renderer renderer(Format::kTable,
                    {{"TENANT", "tenant"}, {"HOST", "host", 6}, {"ACTION", "action"}});
  auto event = SomeEvent();
  event.set_host("櫓櫓櫓櫓");
  renderer.Add(event);
  event.set_host("abc");
  renderer.Add(event);
  EXPECT_EQ(renderer.Finish(),
            "TENANT  HOST   ACTION\n"
            "acme    櫓櫓…  BLOCKED\n"
            "acme    abc    BLOCKED\n");
}

TEST(Renderer, SaysWhenThereIsNothing) {
  EXPECT_EQ(Renderer(Format::kTable, {{"A", "tenant"}}).Finish(), "(none)\n");
  EXPECT_EQ(Renderer(Format::kJson, {}).Finish(), "[]\n");
  EXPECT_EQ(Renderer(Format::kJsonLines, {}).Finish(), "");
}

TEST(Renderer, WritesOneJsonArray) {
  Renderer renderer(Format::kJson, {});
  event::v1::Event event;
  event.set_tenant("a");
  renderer.Add(event);
  renderer.Add(event);
  EXPECT_EQ(renderer.Finish(), "[\n  {\"tenant\":\"a\"},\n  {\"tenant\":\"a\"}\n]\n");
}

TEST(ParseWhen, ReadsTimesAndHowLongAgo) {
  const TimePoint now(std::chrono::seconds(1'700'000'000));
  EXPECT_EQ(*ParseWhen("now", now), now);
  EXPECT_EQ(*ParseWhen("90m", now), now - std::chrono::minutes(90));
  EXPECT_EQ(*ParseWhen("7d", now), now - std::chrono::hours(168));
  EXPECT_EQ(FormatTime(*ParseWhen("2026-11-22", now)), "2026-11-22T00:00:00Z");
  EXPECT_EQ(FormatTime(*ParseWhen("2026-11-22T09:00:00+09:00", now)), "2026-11-22T00:00:00Z");
  for (const char* text : {"", "x", "7y", "-3m", "2026-11", "9999999d"}) {
    EXPECT_FALSE(ParseWhen(text, now).ok()) << text;
  }
}

// Name and value of each original field, "a=1 b=2".
std::string FieldsOf(const event::v1::Event& event) {
  std::string text;
  for (const auto& field : event.fields()) {
    text += (text.empty() ? "" : " ") + field.name() + "=" + field.value();
  }
  return text;
}

TEST(ReadEvent, TakesAnObjectOfOriginalFields) {
  event::v1::Event event;
  const std::string line = R"({"dstport": 22, "a": {"b": "x"}, "host": {"name": "h"}})";
  ASSERT_TRUE(ReadEvent(line, event).ok());
  EXPECT_EQ(FieldsOf(event), "dstport=22 a.b=x host.name=h");
  EXPECT_EQ(event.raw(), line);
}

TEST(ReadEvent, TakesWhatSearchWrites) {
  auto written = SomeEvent();
  written.set_raw("line");
  written.mutable_duration()->set_seconds(3);
  written.add_flaws(event::v1::NO_EVENT_TIME);
  written.mutable_dst()->set_ip(std::string(16, '\x20'));
  written.mutable_dst()->set_port(443);
  event::v1::Event event;
  ASSERT_TRUE(ReadEvent(MessageToJson(written), event).ok());
  EXPECT_EQ(event.ShortDebugString(), written.ShortDebugString());
}

TEST(ReadEvent, TakesAListOfNamesAndValuesAndKeepsWhatTheCoreDoesNotHave) {
  event::v1::Event event;
  ASSERT_TRUE(ReadEvent(R"({"action": "BLOCKED", "colour": "red", "host": {"name": "h"},
                            "fields": [{"name": "n", "value": "1"}, {"name": "n", "value": 2}]})",
                        event)
                  .ok());
  EXPECT_EQ(event.action(), event::v1::BLOCKED);
  EXPECT_EQ(FieldsOf(event), "n=1 n=2 colour=red host.name=h");
}

TEST(ReadEvent, RefusesWhatIsNoObject) {
  for (const char* line : {"", "[1]", "\"x\"", "{"}) {
    event::v1::Event event;
    EXPECT_FALSE(ReadEvent(line, event).ok()) << line;
  }
}

TEST(SyslogSender, GoesOnAfterALineThatNoDatagramHolds) {
  const int receiver = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ASSERT_EQ(bind(receiver, reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(getsockname(receiver, reinterpret_cast<sockaddr*>(&address), &size), 0);

  auto sender = SyslogSender::Connect(fmt::format("127.0.0.1:{}", ntohs(address.sin_port)),
                                      SyslogSender::Transport::kUdp);
  ASSERT_TRUE(sender.ok());
  EXPECT_EQ(ErrorReason(sender->Send(std::string(70'000, 'x'))), "LINE_TOO_LONG");
  EXPECT_TRUE(sender->Send("after").ok());
  std::string received(100, '\0');
  received.resize(static_cast<size_t>(recv(receiver, received.data(), received.size(), 0)));
  EXPECT_EQ(received, "after");
  close(receiver);
}

TEST(LineSource, ReadsAllFilesAsOftenAsAskedAndSkipsEmptyLines) {
  const TempFolder folder;
  auto source = LineSource::Open({folder.Write("a", "1\r\n\n2\n"), folder.Write("b", "3")}, 2);
  ASSERT_TRUE(source.ok());
  std::vector<std::string> lines;
  for (std::string line; source->Next(line);) lines.push_back(line);
  EXPECT_THAT(lines, ElementsAre("1", "2", "3", "1", "2", "3"));
  EXPECT_EQ(source->total_bytes(), 14u);
}

TEST(LineSource, RefusesFoldersMissingFilesAndRepeatedStandardInput) {
  EXPECT_EQ(LineSource::Open({"/nonexistent"}, 1).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(LineSource::Open({"/"}, 1).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(LineSource::Open({"-"}, 2).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(Endpoints, RoundTripAndSayWhenNothingRuns) {
  const TempFolder folder;
  EXPECT_EQ(ErrorReason(ReadEndpoints(folder.path()).status()), "NOT_RUNNING");
  const std::map<std::string, std::string> endpoints = {{"grpc", "127.0.0.1:1"}, {"a\"b", "c\\d"}};
  ASSERT_TRUE(WriteEndpoints(folder.path(), endpoints).ok());
  EXPECT_EQ(*ReadEndpoints(folder.path()), endpoints);
}

TEST(Endpoints, ThatMayNotBeReadAreAnErrorAndNoCrash) {
  const TempFolder folder;  // root may read everything: a loop of links nobody can follow
  std::filesystem::create_symlink("endpoints.json", folder.path() / "endpoints.json");
  const auto endpoints = ReadEndpoints(folder.path());
  EXPECT_EQ(ErrorReason(endpoints.status()), "FILE_UNREADABLE") << endpoints.status();
}

TEST(ResourceName, CompletesIdsAndLeavesNamesAlone) {
  EXPECT_EQ(ResourceName("acme", "tickets", "t1"), "tenants/acme/tickets/t1");
  EXPECT_EQ(ResourceName("x", "tickets", "tenants/acme/tickets/t1"), "tenants/acme/tickets/t1");
  EXPECT_EQ(TenantParent(""), "tenants/-");
  EXPECT_EQ(TenantParent("acme"), "tenants/acme");
}

}  // namespace
}  // namespace yagura::cli
