#include <sodium.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "cli/data_dir.h"
#include "cli/usage.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/testing/process.h"
#include "common/text/text.h"
#include "tests/unit/cli/fake_suite.h"

namespace yagura::cli {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

class CommandsTest : public ::testing::Test {
 protected:
  CommandsTest() {
    EXPECT_GE(sodium_init(), 0);
    for (const char* name : {"YAGURA_API_KEY", "YAGURA_DATA_DIR", "YAGURA_ENDPOINT"}) {
      unsetenv(name);
    }
  }

  std::string File(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name) << text;
    return (folder_ / name).string();
  }
  // With a key that is good.
  Outcome Run(const std::vector<std::string>& line) const {
    return RunLine(line, {.endpoint = suite_.endpoint(), .api_key = "key"});
  }

  FakeSuite suite_;
  const testing::TemporaryFolder temporary_;
  const std::filesystem::path& folder_ = temporary_.path();
};

TEST_F(CommandsTest, SearchGoesOnFromPageToPage) {
  suite_.events = 25'000;
  const auto outcome = Run({"event", "search", "--limit", "24000", "-o", "jsonl"});
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  const auto lines = Split(Trim(outcome.out), '\n');
  EXPECT_THAT(lines, SizeIs(24'000));
  EXPECT_THAT(std::set<std::string_view>(lines.begin(), lines.end()), SizeIs(24'000));
}

TEST_F(CommandsTest, ARangeOfTimeIsSpelledEitherWay) {
  const std::vector<std::vector<std::string>> commands = {
      {"event", "search"},
      {"event", "count"},
      {"event", "histogram"},
      {"event", "aggregate"},
      {"event", "coverage"},
      {"coverage", "list"},
      {"coverage", "show", "fw"},
      {"archive", "verify", "--tenant", "acme"},
      {"archive", "export", "--tenant", "acme", "--dir", "out"},
      {"archive", "hold", "create", "--tenant", "acme", "--reason", "case"}};
  for (const auto& command : commands) {
    for (const auto& [first, last] :
         {std::pair{"--since", "--until"}, std::pair{"--from", "--to"}}) {
      auto line = command;
      line.insert(line.end(), {first, "2d", last, "1d", "--nonsense"});
      const auto outcome = Run(line);
      EXPECT_THAT(outcome.usage,
                  AllOf(HasSubstr("--nonsense"), Not(HasSubstr(first)), Not(HasSubstr(last))))
          << command[0] << " " << command[1];
    }
  }
  EXPECT_TRUE(Run({"event", "count", "--from", "2d", "--to", "1d"}).status.ok());
  EXPECT_TRUE(Run({"event", "count", "--since", "2d", "--until", "1d"}).status.ok());
}

TEST_F(CommandsTest, AggregatesAreAskedForByPathAndShownAsColumns) {
  suite_.aggregate_answer.set_total(7);
  auto* percentiles = suite_.aggregate_answer.add_aggregates();
  percentiles->set_name("percentiles_bytes_out");
  suite_.aggregate_answer.add_aggregates()->set_name("top_fields_x");
  auto* row = suite_.aggregate_answer.add_rows();
  row->add_values("10.0.0.1\x1b[31m");
  row->set_count(7);
  row->add_results()->add_percentiles(1.5);
  auto* top = row->add_results()->add_top();
  top->set_value("a=b");
  top->set_count(3);
  const auto outcome =
      Run({"event", "aggregate", "action = BLOCKED", "--by", "src.ip", "--percentiles",
           "bytes_out=50,99.5", "--top", "fields.x=5", "--last-seen", "--interval", "60"});
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_EQ(suite_.aggregate.filter(), "action = BLOCKED");
  ASSERT_EQ(suite_.aggregate.aggregates_size(), 3);
  EXPECT_THAT(suite_.aggregate.aggregates(0).percents(), ElementsAre(50, 99.5));
  EXPECT_EQ(suite_.aggregate.aggregates(1).field(), "fields.x");
  EXPECT_EQ(suite_.aggregate.aggregates(1).top(), 5);
  EXPECT_EQ(suite_.aggregate.aggregates(2).function(), archive::v1::LAST_SEEN);
  EXPECT_EQ(suite_.aggregate.interval().seconds(), 60);
  EXPECT_THAT(outcome.out, HasSubstr("PERCENTILES_BYTES_OUT"));
  EXPECT_THAT(outcome.out, HasSubstr("a=b (3)"));
  EXPECT_THAT(outcome.out, Not(HasSubstr("\x1b")));
  EXPECT_THAT(outcome.out, HasSubstr("7 events"));
  EXPECT_FALSE(Run({"event", "aggregate", "--percentiles", "bytes_out=much"}).status.ok());
}

TEST_F(CommandsTest, ACallMayTakeLongerThanAQueryOfTheSuiteOrAsLongAsIsSaid) {
  using std::chrono::seconds;
  ASSERT_TRUE(Run({"event", "aggregate", "--last-seen"}).status.ok());
  EXPECT_GT(suite_.aggregate_time_left, seconds(60));  // archive.query_timeout
  ASSERT_TRUE(Run({"event", "aggregate", "--last-seen", "--timeout", "3600"}).status.ok());
  EXPECT_GT(suite_.aggregate_time_left, seconds(3500));
  ASSERT_TRUE(Run({"--timeout", "40", "event", "aggregate", "--last-seen"}).status.ok());
  EXPECT_LE(suite_.aggregate_time_left, seconds(41));
  EXPECT_NE(Run({"whoami", "--timeout", "0"}).usage, "");
}

TEST_F(CommandsTest, EstimatesAreShownAsSuch) {
  suite_.aggregate_answer.set_total(70'000);
  auto* distinct = suite_.aggregate_answer.add_aggregates();
  distinct->set_name("distinct_src_ip");
  distinct->set_accuracy("HyperLogLog: 0.3 %");
  suite_.aggregate_answer.add_aggregates()->set_name("sum_bytes_out");
  const auto add_row = [&](uint64_t count, bool approximate) {
    auto* row = suite_.aggregate_answer.add_rows();
    row->add_results()->set_count(count);
    row->mutable_results(0)->set_approximate(approximate);
    row->add_results()->set_count(77);
  };
  add_row(12, false);
  const std::vector<std::string> line = {"event",  "aggregate", "--distinct",
                                         "src.ip", "--sum",     "bytes_out"};
  EXPECT_THAT(Run(line).out, HasSubstr("distinct_src_ip: HyperLogLog: 0.3 %\n"));
  add_row(50'123, true);
  const auto outcome = Run(line);
  EXPECT_THAT(outcome.out, HasSubstr("~50123"));
  EXPECT_THAT(outcome.out, Not(HasSubstr("~12")));
  EXPECT_THAT(outcome.out, Not(HasSubstr("~77")));
  EXPECT_THAT(outcome.out, HasSubstr("distinct_src_ip: estimates; HyperLogLog: 0.3 %\n"));
  EXPECT_THAT(outcome.out, Not(HasSubstr("sum_bytes_out:")));
}

TEST_F(CommandsTest, AnEmptyKeyNeverBecomesTheAdministrator) {
  std::filesystem::create_directories(folder_ / "data" / "keys");
  File("data/keys/admin-api-key", "the admin's\n");
  ASSERT_TRUE(WriteEndpoints(folder_ / "data", {{"grpc", suite_.endpoint()}}).ok());
  const ConnectionOptions admin{.data_dir = (folder_ / "data").string()};
  ASSERT_TRUE(RunLine({"whoami"}, admin).status.ok());
  ASSERT_THAT(suite_.secrets, ElementsAre("the admin's"));

  const std::string empty = File("empty", " \n");
  EXPECT_EQ(ErrorReason(RunLine({"--api-key-file", empty, "whoami"}, admin).status),
            "EMPTY_API_KEY");
  EXPECT_FALSE(RunLine({"--api-key-file", "", "whoami"}, admin).status.ok());
  EXPECT_FALSE(RunLine({"--api-key-file", folder_ / "none", "whoami"}, admin).status.ok());
  setenv("YAGURA_API_KEY", "", 1);
  EXPECT_EQ(ErrorReason(RunLine({"whoami"}, admin).status), "EMPTY_API_KEY");
  EXPECT_THAT(suite_.secrets, SizeIs(1));
}

TEST_F(CommandsTest, ImportFailsWhereRulesAreRefusedAndSkipsWhatIsTooLarge) {
  std::filesystem::create_directories(folder_ / "rules");
  File("rules/a.yml", "a");
  File("rules/b.yml", std::string(600 * 1024, 'b'));
  File("rules/c.yml", "c");
  const auto outcome = Run({"rule", "import", folder_ / "rules"});
  EXPECT_EQ(ErrorReason(outcome.status), "IMPORT_INCOMPLETE");
  EXPECT_THAT(Message(outcome.status), HasSubstr("3 rules"));
  EXPECT_THAT(suite_.imported, ElementsAre(folder_ / "rules/a.yml", folder_ / "rules/c.yml"));
  EXPECT_THAT(outcome.out, HasSubstr("b.yml is larger than 524288 bytes"));
  EXPECT_THAT(outcome.out, HasSubstr("0 rules loaded, 3 refused"));
}

std::string RuleWithId(int number, size_t bytes = 0) {
  return fmt::format(
      "title: T\nid: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c{:03}\nlogsource:\n  product: acme\n"
      "detection:\n  s:\n    User: ann\n  condition: s\ndescription: {}\n",
      number, std::string(bytes, 'x'));
}

// An import of many calls knows what earlier ones have loaded.
TEST_F(CommandsTest, AnImportNoticesTheSameIdInFilesOfDifferentCalls) {
  constexpr size_t kLarge = 400'000;
  suite_.imports_in = detection::v1::ACTIVE;
  std::filesystem::create_directories(folder_ / "rules");
  for (int i = 0; i < 6; ++i) File(fmt::format("rules/{}.yml", i), RuleWithId(i, kLarge));
  File("rules/6.yml", RuleWithId(0));
  File("rules/7.yml", RuleWithId(7) + "---\n" + RuleWithId(1));
  const auto outcome = Run({"rule", "import", folder_ / "rules", "--reason", "case 7"});
  EXPECT_GT(suite_.import_reasons.size(), 1U);
  EXPECT_THAT(suite_.import_reasons, Each("case 7"));
  EXPECT_EQ(ErrorReason(outcome.status), "IMPORT_INCOMPLETE");
  EXPECT_THAT(outcome.out, HasSubstr("0.yml has the same id 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c000"));
  EXPECT_THAT(outcome.out, HasSubstr("1.yml has the same id 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c001"));
  EXPECT_THAT(outcome.out, HasSubstr("7 rules loaded (0 new, 7 changed, 0 unchanged), 2 refused"));
}

// What is sent by itself, as another rule of the file is there already, is told by the file.
TEST_F(CommandsTest, AnImportTellsTheLinesOfTheFile) {
  constexpr size_t kLarge = 400'000;
  suite_.imports_in = detection::v1::ACTIVE;
  suite_.refused_text = "c008";
  std::filesystem::create_directories(folder_ / "rules");
  for (int i = 0; i < 6; ++i) File(fmt::format("rules/{}.yml", i), RuleWithId(i, kLarge));
  File("rules/7.yml", RuleWithId(0) + "---\n" + RuleWithId(7) + "---\n" + RuleWithId(8));
  const auto outcome = Run({"rule", "import", folder_ / "rules"});
  EXPECT_THAT(outcome.out, HasSubstr("0.yml has the same id"));
  EXPECT_THAT(outcome.out, HasSubstr("line 22: is not known"));
  EXPECT_THAT(outcome.out, HasSubstr("7 rules loaded (0 new, 7 changed, 0 unchanged), 2 refused"));
}

TEST_F(CommandsTest, AnImportThatBreaksOffTellsWhatItDid) {
  constexpr size_t kLarge = 400'000;
  suite_.imports_in = detection::v1::ACTIVE;
  suite_.most_imports = 1;
  std::filesystem::create_directories(folder_ / "rules");
  for (int i = 0; i < 7; ++i) File(fmt::format("rules/{}.yml", i), RuleWithId(i, kLarge));
  const auto outcome = Run({"rule", "import", folder_ / "rules"});
  EXPECT_EQ(Message(outcome.status), "no more");
  EXPECT_THAT(outcome.out, HasSubstr("5 rules loaded (0 new, 5 changed, 0 unchanged), 0 refused"));
  suite_.most_imports = 0;
  EXPECT_THAT(Run({"rule", "import", folder_ / "rules"}).out, IsEmpty());
}

// Names may be of any length and of any bytes; detection takes less, and UTF-8 alone.
TEST_F(CommandsTest, AnImportShortensLongNames) {
  suite_.imports_in = detection::v1::ACTIVE;
  std::string name = "rules\xe9";
  for (int i = 0; i < 5; ++i) {
    name += "/";
    for (int k = 0; k < 60; ++k) name += "櫓";
  }
  std::filesystem::create_directories(folder_ / name);
  File(name + "/a.yml", RuleWithId(1));
  const auto outcome = Run({"rule", "import", folder_ / "rules\xe9"});
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  ASSERT_THAT(suite_.imported, SizeIs(1));
  EXPECT_TRUE(IsValidUtf8(suite_.imported[0]));
  EXPECT_GT(suite_.imported[0].size(), 509U);
  EXPECT_LE(suite_.imported[0].size(), 512U);
}

TEST_F(CommandsTest, AnImportTellsOfRulesThatStayRetired) {
  suite_.imports_in = detection::v1::RETIRED;
  const auto outcome = Run({"rule", "import", File("a.yml", RuleWithId(1))});
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_THAT(outcome.err, HasSubstr("a.yml) is RETIRED as before: it is not matched"));
}

class RuleTestCommand : public CommandsTest {
 protected:
  RuleTestCommand() { content_ = std::filesystem::path(getenv("YAGURA_SOURCE_DIR")) / "content"; }
  void Store(int64_t second, const std::string& user) {
    auto& event = suite_.stored.emplace_back();
    event.set_id(fmt::to_string(suite_.stored.size()));
    event.mutable_receive_time()->set_seconds(second);
    event.mutable_event_time()->set_seconds(second);
    event.set_product("acme");
    auto& field = *event.add_fields();
    field.set_name("User");
    field.set_value(user);
  }

  std::string content_;
};

// Two log-ons of one user within a minute.
constexpr std::string_view kTwice =
    "title: One\nid: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c001\nname: one\nlogsource:\n"
    "  product: acme\ndetection:\n  s:\n    User|expand: '%ours%'\n  condition: s\n---\n"
    "title: Twice\nid: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c002\ncorrelation:\n  type: event_count\n"
    "  rules: [one]\n  group-by: [User]\n  timespan: 1m\n  condition:\n    gte: 2\n";

TEST_F(RuleTestCommand, FindsInStoredEventsWithTheirTimesAndTheTenantsPlaceholders) {
  for (const int64_t second : {1'790'000'000, 1'790'000'030, 1'790'000'600}) Store(second, "ann");
  Store(1'790'000'640, "bob");
  auto& of_provider = suite_.placeholders.emplace_back();
  of_provider.set_name("tenants/provider/placeholders/ours");
  of_provider.add_values("bob");
  auto& own = suite_.placeholders.emplace_back();
  own.set_name("tenants/acme/placeholders/ours");
  own.add_values("ann");
  const auto rule = File("twice.yml", std::string(kTwice));
  const auto outcome = Run({"rule", "test", rule, "--tenant", "acme", "--since", "7d", "--filter",
                            "action = ALLOWED", "-o", "jsonl"});
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  const auto lines = Split(Trim(outcome.out), '\n');
  ASSERT_THAT(lines, SizeIs(1)) << outcome.out;
  EXPECT_THAT(std::string(lines[0]), HasSubstr("tenants/acme/findings/"));
  EXPECT_THAT(std::string(lines[0]), HasSubstr(R"("event_count":2)"));
  EXPECT_THAT(outcome.err, HasSubstr("         3  4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c001  One"));
  EXPECT_THAT(outcome.err, HasSubstr("4 stored events of the log source looked at; 1 findings"));
  ASSERT_THAT(suite_.exports, SizeIs(4));  // one event a call
  EXPECT_EQ(suite_.exports[0].parent(), "tenants/acme");
  EXPECT_THAT(suite_.exports[0].filter(), HasSubstr("action = ALLOWED"));
  EXPECT_THAT(suite_.exports[0].filter(), HasSubstr("acme"));
  EXPECT_EQ(suite_.exports[3].range().end_time().seconds(),
            suite_.exports[0].range().end_time().seconds());
}

TEST_F(RuleTestCommand, TakesTheEventsOfOneTenant) {
  Store(1'790'000'000, "ann");
  const auto rule = File("rule.yml", RuleWithId(5));
  const auto test = [&](const std::string& tenant) {
    return Run({"rule", "test", rule, "--tenant", tenant, "--since", "7d", "-o", "jsonl"});
  };
  for (const char* tenant : {"-", "tenants/-"}) {
    EXPECT_EQ(ErrorReason(test(tenant).status), "INVALID_FIELD") << tenant;
  }
  EXPECT_THAT(suite_.exports, IsEmpty());
  EXPECT_EQ(test("tenants/acme").out, test("acme").out);
  ASSERT_THAT(suite_.exports, SizeIs(2));
  EXPECT_EQ(suite_.exports[0].parent(), "tenants/acme");
}

TEST_F(RuleTestCommand, TakesARuleOrEventsFromStandardInput) {
  EXPECT_EQ(ErrorReason(Run({"rule", "test", "-", "--tenant", "acme"}).status), "INVALID_FIELD");
}

TEST_F(RuleTestCommand, TakesARuleThatIsKept) {
  Store(1'790'000'000, "ann");
  auto& rule = suite_.rules.emplace_back();
  rule.set_name("tenants/provider/rules/4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c005");
  rule.set_text(RuleWithId(5));
  const std::string id = "4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c005";
  const auto outcome = Run({"rule", "test", id, "--tenant", "acme", "--since", "1h"});
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_THAT(outcome.err, HasSubstr("1 findings"));
  EXPECT_THAT(std::string(Message(
                  Run({"rule", "test", "nosuch", "--tenant", "acme", "--since", "1h"}).status)),
              HasSubstr("no file, and no rule that is kept"));
  EXPECT_EQ(ErrorReason(Run({"rule", "test", id, "--since", "1h"}).status), "INVALID_FIELD");
}

TEST_F(RuleTestCommand, GivesRawEventsTheirOwnTimes) {
  const auto events =
      File("events.jsonl", R"({"@timestamp":"2026-11-20T10:00:00Z","User":"ann"})"
                           "\n"
                           R"({"fields":{"User":"bob"},"event_time":"2026-11-20T11:00:00Z"})"
                           "\n"
                           "<14>1 2026-11-20T12:00:00Z host app - - - a line of syslog\n");
  const auto outcome = Run({"rule", "test", File("rule.yml", RuleWithId(1)), events, "--tenant",
                            "acme", "--content", content_});
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  ASSERT_EQ(suite_.rule_test.events_size(), 3);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(suite_.rule_test.events(i).event_time().seconds(), 1'795'168'800 + i * 3600) << i;
  }
  EXPECT_THAT(suite_.rule_test.events(0).ShortDebugString(),
              HasSubstr("fields { name: \"User\" value: \"ann\" }"));
  EXPECT_EQ(suite_.rule_test.parent(), "tenants/acme");
}

TEST_F(CommandsTest, KeysShowTheTenantsOfTheirRoles) {
  auto& key = suite_.api_keys.emplace_back();
  key.set_name("tenants/provider/apiKeys/k");
  key.add_roles()->set_role("analyst");
  auto& everywhere = *key.add_roles();
  everywhere.set_role("viewer");
  everywhere.add_tenants("*");
  auto& some = *key.add_roles();
  some.set_role("viewer");
  some.add_tenants("acme");
  some.add_tenants("beta");
  EXPECT_THAT(Run({"key", "list"}).out, HasSubstr("analyst, viewer@*, viewer@acme,beta"));
}

std::string Content(const std::filesystem::path& file) {
  std::ifstream in(file);
  return {std::istreambuf_iterator<char>(in), {}};
}

TEST_F(CommandsTest, ASecretIsTheOwnersAloneWhateverTheFileWasBefore) {
  const std::string file = File("key", "the old one\n");
  std::filesystem::permissions(file, std::filesystem::perms(0644));
  const std::filesystem::path link = folder_ / "link";
  const std::string other = File("other", "untouched\n");
  std::filesystem::create_symlink(other, link);
  for (const std::string& name : {file, link.string()}) {
    const auto outcome = Run({"key", "rotate", "tenants/t/apiKeys/k", "--secret-file", name});
    EXPECT_TRUE(outcome.status.ok()) << outcome.status;
    EXPECT_THAT(outcome.out, Not(HasSubstr("secret-")));
    const auto kept = std::filesystem::symlink_status(name);
    EXPECT_EQ(kept.type(), std::filesystem::file_type::regular);
    EXPECT_EQ(kept.permissions(), std::filesystem::perms(0600));
  }
  EXPECT_EQ(Content(file), "secret-1\n");
  EXPECT_EQ(Content(link), "secret-2\n");
  EXPECT_EQ(Content(other), "untouched\n");
}

TEST_F(CommandsTest, NoKeyIsRotatedForAFileThatCannotBeWritten) {
  File("taken.new", "a secret that is kept here\n");
  for (const char* name : {"nowhere/key", "taken", ""}) {
    EXPECT_EQ(ErrorReason(Run({"key", "rotate", "tenants/t/apiKeys/k", "--secret-file",
                               (folder_ / name).string()})
                              .status),
              "FILE_UNWRITABLE")
        << name;
  }
  EXPECT_EQ(suite_.rotations, 0);
  EXPECT_EQ(Content(folder_ / "taken.new"), "a secret that is kept here\n");
}

TEST_F(CommandsTest, UnknownSourcesCanBeFiltered) {
  EXPECT_TRUE(Run({"source", "unknown", "--filter", "host = fw"}).status.ok());
  EXPECT_EQ(suite_.quarantine_filter, "host = fw");
}

TEST_F(CommandsTest, SourcesAreMadeAndChangedWithAllThatTheyHave) {
  auto outcome = Run({"source", "create", "fw", "--tenant", "acme", "--cidr", "192.0.2.1",
                      "--charset", "shift_jis", "--silence-limit", "2h", "--disabled", "true"});
  ASSERT_TRUE(outcome.status.ok()) << outcome.status << outcome.usage;
  const auto& made = suite_.source_create.source();
  EXPECT_EQ(made.match().cidr(), "192.0.2.1");
  EXPECT_EQ(made.charset(), "shift_jis");
  EXPECT_EQ(made.silence_limit().seconds(), 7200);
  EXPECT_TRUE(made.disabled());

  outcome = Run({"source", "update", "fw", "--tenant", "acme", "--charset", "euc-jp", "--site", "",
                 "--listener", "syslog_tcp", "--silence-limit", "", "--disabled", "false"});
  ASSERT_EQ(outcome.usage, "");
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  const auto& update = suite_.source_update;
  EXPECT_EQ(update.source().name(), "tenants/acme/sources/fw");
  EXPECT_EQ(update.source().charset(), "euc-jp");
  EXPECT_THAT(update.update_mask().paths(),
              ElementsAre("match.listener", "site", "charset", "silence_limit", "disabled"));
  EXPECT_FALSE(update.source().has_silence_limit());
  EXPECT_FALSE(Run({"source", "update", "fw", "--tenant", "acme"}).status.ok());
  EXPECT_FALSE(Run({"source", "update", "fw", "--charset", "utf-8"}).status.ok());
}

TEST_F(CommandsTest, NamesOfASourceThatFitNothingKnownAreWarnedOf) {
  auto outcome = Run({"source", "create", "fw", "--tenant", "acme", "--listener", "syslog-tcp",
                      "--parser", "fortigates"});
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_EQ(suite_.source_create.source().parser(), "fortigates");
  EXPECT_THAT(
      outcome.err,
      AllOf(HasSubstr("no listener is named \"syslog-tcp\""), HasSubstr("syslog_udp, syslog_tcp"),
            HasSubstr("no parser \"fortigates\""), HasSubstr("auto, fortigate")));
  outcome = Run({"source", "update", "fw", "--tenant", "acme", "--parser", "x\x1b[31m"});
  EXPECT_THAT(outcome.err, AllOf(HasSubstr("no parser"), Not(HasSubstr("\x1b"))));
  outcome = Run({"source", "update", "fw", "--tenant", "acme", "--parser", "fortigate",
                 "--listener", "syslog_tcp"});
  EXPECT_THAT(outcome.err, IsEmpty());
  outcome = Run({"source", "update", "fw", "--tenant", "acme", "--parser", "", "--listener", ""});
  EXPECT_THAT(outcome.err, IsEmpty());
}

TEST_F(CommandsTest, TheCoverageOfASourceThatThereIsNotIsRefused) {
  suite_.sources.emplace_back().set_name("tenants/acme/sources/fw");
  for (const char* tenant : {"acme", "-"}) {
    const auto outcome = Run({"coverage", "show", "nosuch", "--tenant", tenant});
    EXPECT_EQ(outcome.status.code(), absl::StatusCode::kNotFound) << tenant;
    EXPECT_THAT(std::string(Message(outcome.status)), HasSubstr("\"nosuch\""));
    EXPECT_TRUE(Run({"coverage", "show", "fw", "--tenant", tenant}).status.ok());
  }
  EXPECT_FALSE(Run({"coverage", "show", "tenants/beta/sources/fw"}).status.ok());
  EXPECT_TRUE(Run({"coverage", "show", "tenants/acme/sources/fw"}).status.ok());
}

TEST_F(CommandsTest, AFilterMayBeginWithAMinus) {
  for (const std::vector<std::string>& line :
       {std::vector<std::string>{"event", "aggregate", "--last-seen", "--", "-action = BLOCKED"},
        {"event", "aggregate", "--last-seen", "--filter=-action = BLOCKED"},
        {"event", "aggregate", "--last-seen", "--filter", "-action = BLOCKED"}}) {
    suite_.aggregate.Clear();
    const auto outcome = Run(line);
    EXPECT_EQ(outcome.usage, "") << line[3];
    EXPECT_EQ(suite_.aggregate.filter(), "-action = BLOCKED") << line[3];
  }
  EXPECT_THAT(Run({"event", "aggregate", "--last-seen", "-action = BLOCKED"}).usage,
              HasSubstr("stands behind --"));
}

TEST_F(CommandsTest, BatchIdsComeFromThePrefixAndTheLines) {
  const auto send = [&](const std::string& text, const std::string& tenant) {
    suite_.batch_ids.clear();
    const auto outcome = Run({"send", File("lines", text), "--to", "grpc", "--tenant", tenant,
                              "--batch-prefix", "night"});
    EXPECT_THAT(outcome.out, HasSubstr("all acknowledged")) << outcome.status;
    EXPECT_THAT(suite_.batch_ids, SizeIs(1));
    return suite_.batch_ids.at(0);
  };
  const std::string first = send("a\nb\n", "acme");
  EXPECT_EQ(send("a\nb\n", "acme"), first);
  EXPECT_NE(send("a\nc\n", "acme"), first);
  EXPECT_NE(send("ab\n", "acme"), first);
  EXPECT_NE(send("a\nb\n", "globex"), first);
  EXPECT_TRUE(first.starts_with("night-0-")) << first;
}

TEST_F(CommandsTest, SendSaysNothingOfAcknowledgementsWhereItIsRefused) {
  suite_.push_answer = {grpc::StatusCode::PERMISSION_DENIED, "not yours"};
  const auto outcome = Run({"send", File("lines", "a\n"), "--to", "grpc", "--tenant", "acme"});
  EXPECT_EQ(outcome.status.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(outcome.out, IsEmpty());
}

TEST_F(CommandsTest, SendFailsWhereAFileIsDamaged) {
  const auto outcome =
      Run({"send", File("lines.zst", "no zstd"), "--to", "grpc", "--tenant", "acme"});
  EXPECT_EQ(ErrorReason(outcome.status), "FILE_DAMAGED");
  EXPECT_THAT(outcome.out, Not(HasSubstr("all acknowledged")));
}

TEST_F(CommandsTest, WhoReadAndSearchedIsListedWhereItIsAskedFor) {
  const auto filter_of = [this](const std::vector<std::string>& line) {
    EXPECT_TRUE(Run(line).status.ok());
    return suite_.audit_filter;
  };
  EXPECT_EQ(filter_of({"audit", "list"}), "action != READ AND action != SEARCHED");
  EXPECT_EQ(filter_of({"audit", "list", "--filter", "status_code = 0 OR detail = x"}),
            "status_code = 0 OR detail = x AND action != READ AND action != SEARCHED")
      << "OR binds closer than AND, and positions in errors are those of the user's own filter";
  EXPECT_EQ(filter_of({"audit", "list", "--reads"}), "");
  EXPECT_EQ(filter_of({"audit", "list", "--filter", "action = READ"}), "action = READ");
}

TEST_F(CommandsTest, SealingKeysAreWholeAndCanBeUsed) {
  auto& key = suite_.sealing_keys.emplace_back();
  key.set_id("0123456789abcdef");
  key.set_public_key(std::string(31, '\xff') + "\x9b");
  const std::string text = Base64Encode(key.public_key());
  EXPECT_THAT(Run({"audit", "keys"}).out, HasSubstr(text + "\n"));
  EXPECT_THAT(Run({"audit", "keys", "-o", "json"}).out,
              HasSubstr(fmt::format(R"("public_key":"{}")", text)));
}

TEST_F(CommandsTest, ARefusedVerificationSaysNothingButWhy) {
  suite_.verify_answer = {grpc::StatusCode::PERMISSION_DENIED, "you may not"};
  const auto outcome = Run({"audit", "verify", "--tenant", "acme"});
  EXPECT_EQ(outcome.status.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(outcome.out, IsEmpty());
}

TEST_F(CommandsTest, VerifyingEventsTellsWhatALaterReleaseMadeFromWhatIsAtFault) {
  const std::vector<std::string> line = {"archive", "verify", "--tenant",
                                         "acme",    "--day",  "2026-11-22"};
  suite_.proofs.resize(2);
  suite_.proofs[0].set_day("2026-11-21");
  EXPECT_TRUE(Run(line).status.ok());
  suite_.proofs[1].set_day("2026-11-22");
  suite_.proofs[1].add_later_heads(2);
  suite_.proofs[1].add_later_heads(3);
  suite_.proofs[1].set_later_events(17);
  suite_.proofs[1].add_flaws()->set_kind(archive::v1::EventFlaw::HEAD_LATER);
  const auto later = Run(line);
  EXPECT_EQ(later.status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(Message(later.status)), HasSubstr("1 of the days"));
  EXPECT_THAT(later.out, HasSubstr("! 2026-11-22 made by a later release: heads 2 3, 17 events"));
  suite_.proofs[0].add_flaws()->set_kind(archive::v1::EventFlaw::EVENT_ALTERED);
  EXPECT_EQ(Run(line).status.code(), absl::StatusCode::kDataLoss);
}

TEST_F(CommandsTest, AFlawOfManyEventsFitsALineOfTheTable) {
  std::vector<std::string> line = {"archive", "verify", "--tenant", "acme", "--day", "2026-11-22"};
  auto* flaw = suite_.proofs.emplace_back().add_flaws();
  flaw->set_kind(archive::v1::EventFlaw::EVENT_INSERTED);
  flaw->set_detail("said");
  for (int i = 0; i < 5; ++i) flaw->add_event_ids(fmt::format("b-{}", i));
  EXPECT_THAT(Run(line).out, HasSubstr("EVENT_INSERTED: said: b-0 b-1 b-2 b-3 b-4\n"));
  for (int i = 5; i < 80; ++i) flaw->add_event_ids(fmt::format("b-{}", i));
  EXPECT_THAT(Run(line).out,
              HasSubstr(": said: b-0 b-1 b-2 b-3 b-4 and 75 more (-o json names them)\n"));
  line.insert(line.end(), {"-o", "json"});
  EXPECT_THAT(Run(line).out, HasSubstr("\"b-79\""));
}

class RuleStates : public CommandsTest {
 protected:
  RuleStates() {
    for (const char* name :
         {"tenants/provider/rules/r1", "tenants/provider/rules/r2", "tenants/acme/rules/own"}) {
      auto& rule = suite_.rules.emplace_back();
      rule.set_name(name);
      rule.set_title(std::string("Title of ") + (name + 8));
      rule.set_enabled(true);
      rule.set_state(detection::v1::ACTIVE);
    }
    auto& muted = suite_.tunings.emplace_back();
    muted.set_name("tenants/acme/ruleTunings/r1");
    muted.set_state(detection::v1::MUTED);
    muted.set_state_reason("too loud");
    muted.mutable_mute_expire_time()->set_seconds(1'800'000'000);
    suite_.tunings.emplace_back().set_name("tenants/acme/ruleTunings/r2");
  }
};

TEST_F(RuleStates, AreListedWithWhatWasAgreed) {
  const auto outcome = Run({"tuning", "list", "--tenant", "acme"});
  EXPECT_THAT(outcome.out, HasSubstr("STATE  UNTIL"));
  EXPECT_THAT(outcome.out, HasSubstr("MUTED  2027-01-15T08:00:00Z"));
}

TEST_F(RuleStates, ShowInTheListOfAllRulesForWhomTheyDiffer) {
  const auto outcome = Run({"rule", "list"});
  EXPECT_THAT(outcome.out, HasSubstr("ACTIVE (acme: MUTED)"));
  EXPECT_THAT(outcome.out, HasSubstr("rules/r2"));
}

TEST_F(RuleStates, ShowInTheListOfATenant) {
  const auto outcome = Run({"rule", "list", "--tenant", "acme", "-o", "jsonl"});
  const auto lines = Split(Trim(outcome.out), '\n');
  ASSERT_THAT(lines, SizeIs(2));
  EXPECT_THAT(std::string(lines[0]), HasSubstr("rules/own"));
  EXPECT_THAT(std::string(lines[1]), HasSubstr("tenants/provider/rules/r1"));
  EXPECT_THAT(std::string(lines[1]), HasSubstr(R"("state":"MUTED")"));
}

TEST_F(RuleStates, OfWhatCannotBeReadAreNamedApart) {
  suite_.unreadable_rules = {"tenants/acme/rules/broken"};
  const auto outcome = Run({"rule", "list", "--tenant", "acme", "-o", "jsonl"});
  EXPECT_THAT(outcome.err, HasSubstr("cannot be read, not in force: tenants/acme/rules/broken\n"));
  EXPECT_EQ(outcome.out.find("broken"), std::string::npos);
}

TEST_F(RuleStates, AreThoseOfTheTenantThatARuleIsNamedUnder) {
  const auto muted = Run({"rule", "get", "r1", "--tenant", "acme", "-o", "json"});
  ASSERT_TRUE(muted.status.ok()) << muted.status;
  EXPECT_THAT(muted.out, HasSubstr(R"("state":"MUTED")"));
  EXPECT_THAT(muted.out, HasSubstr("2027-01-15T08:00:00Z"));
  EXPECT_THAT(Run({"rule", "get", "r1", "--tenant", "other", "-o", "json"}).out,
              HasSubstr(R"("state":"ACTIVE")"));
  EXPECT_EQ(Run({"rule", "get", "none", "--tenant", "acme"}).status.code(),
            absl::StatusCode::kNotFound);
}

archive::v1::CoverageSummary Lacking(const std::string& gap, int64_t since) {
  archive::v1::CoverageSummary coverage;
  coverage.add_gaps(gap);
  coverage.mutable_pending()->set_batch_count(1);
  coverage.mutable_pending()->mutable_oldest_receive_time()->set_seconds(since);
  return coverage;
}

TEST_F(CommandsTest, EveryAnswerAboutEventsSaysWhatItLacks) {
  suite_.coverage = {Lacking("5 events were not stored yet", 1'790'000'000)};
  const std::vector<std::vector<std::string>> lines = {
      {"event", "search"},
      {"event", "count"},
      {"event", "count", "-o", "json"},
      {"event", "top", "src.ip"},
      {"event", "histogram"},
      {"event", "aggregate", "--by", "src.ip"},
      {"event", "aggregate", "--by", "src.ip", "-o", "json"}};
  for (const auto& line : lines) {
    const auto outcome = Run(line);
    ASSERT_TRUE(outcome.status.ok()) << outcome.status;
    EXPECT_EQ(outcome.err, "note: 5 events were not stored yet\n") << Join(line, " ");
  }
}

class ExportCommand : public CommandsTest {
 protected:
  Outcome Export(std::vector<std::string> more = {}) const {
    std::vector<std::string> line = {"archive", "export", "--tenant", "acme",
                                     "--from",  "7d",     "--dir",    (folder_ / "out").string()};
    line.insert(line.end(), more.begin(), more.end());
    return Run(line);
  }
  std::string Read(const std::string& name) const {
    std::ifstream file(folder_ / "out" / name, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
};

TEST_F(ExportCommand, WaitsUntilWhatWasReceivedIsStored) {
  suite_.events = 3;
  suite_.coverage = {Lacking("one", 1'790'000'000), Lacking("one", 1'790'000'000), {}};
  const auto outcome = Export();
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_EQ(suite_.searches, 3);
  EXPECT_EQ(outcome.err, "waits until what was received by now is stored\n");
  EXPECT_THAT(Read("manifest.json"), HasSubstr("\"remarks\":[]"));
}

TEST_F(ExportCommand, SaysWhatItLacksWherePatienceEnds) {
  suite_.events = 3;
  suite_.coverage = {Lacking("one", 1'790'000'000)};
  const auto outcome = Export({"--patience", "0"});
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_THAT(outcome.err, HasSubstr("warning: the export is not complete: not all that was "
                                     "received from 2026-09-21T"));
  EXPECT_THAT(Read("manifest.json"), HasSubstr("\"remarks\":[\"not all that was received from"));
  EXPECT_THAT(Read("manifest.json"), HasSubstr("\"oldest_receive_time\""));
}

TEST_F(ExportCommand, RemembersWhatItLackedWhereItBreaksOff) {
  suite_.events = 3;
  suite_.event_bytes = 1'100'000;
  suite_.coverage = {Lacking("one", 1'790'000'000)};
  suite_.export_answer = {grpc::StatusCode::UNAVAILABLE, "away"};
  EXPECT_EQ(std::string(Message(Export({"--patience", "0", "--part-megabytes", "1"}).status)),
            "the same command goes on where the export broke off: away");
  suite_.coverage.clear();
  suite_.export_answer = grpc::Status::OK;
  const auto outcome = Export({"--patience", "0", "--part-megabytes", "1"});
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_THAT(outcome.err, HasSubstr("goes on behind 1 events"));
  EXPECT_THAT(outcome.err, HasSubstr("warning: the export is not complete"));
}

TEST_F(ExportCommand, WritesAnewWhatIsNotAsItWasWritten) {
  suite_.events = 3;
  suite_.event_bytes = 1'100'000;
  suite_.export_answer = {grpc::StatusCode::UNAVAILABLE, "away"};
  EXPECT_FALSE(Export({"--part-megabytes", "1"}).status.ok());
  std::ofstream(folder_ / "out" / "events-000001.jsonl.zst", std::ios::app) << "x";
  suite_.export_answer = grpc::Status::OK;
  const auto outcome = Export({"--part-megabytes", "1"});
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_THAT(outcome.err, HasSubstr("events-000001.jsonl.zst is not there as it was written"));
  EXPECT_THAT(outcome.out, HasSubstr("3 events in 3 files"));
}

TEST_F(ExportCommand, ThatIsRefusedSaysNothingOfGoingOn) {
  suite_.events = 1;
  suite_.export_answer = {grpc::StatusCode::PERMISSION_DENIED, "it is not granted"};
  EXPECT_EQ(std::string(Message(Export().status)), "it is not granted");
}

TEST_F(CommandsTest, AnImportOfAssetsSaysInWordsWhatItDid) {
  using directory::v1::ImportAction;
  for (const auto action : {directory::v1::IMPORT_CREATE, directory::v1::IMPORT_UNCHANGED}) {
    suite_.asset_import_answer.add_rows()->set_action(action);
  }
  const std::vector<std::string> line = {"asset", "import", File("a.csv", "asset_id\na\n"),
                                         "--tenant", "acme"};
  const auto table = Run(line);
  EXPECT_THAT(table.out, HasSubstr("create\n"));
  EXPECT_THAT(table.out, HasSubstr("unchanged\n"));
  EXPECT_THAT(table.out, Not(HasSubstr("IMPORT_")));
  auto as_json = line;
  as_json.insert(as_json.end(), {"-o", "jsonl"});
  EXPECT_THAT(Run(as_json).out, HasSubstr("IMPORT_CREATE")) << "for programs";
}

TEST_F(CommandsTest, AKeyThatIsThereBecomesThatOfARelay) {
  const auto outcome = Run({"key", "relay-sites", "tenants/acme/apiKeys/k", "--relay-site", "hq",
                            "--relay-site", "tenants/beta/sites/b"});
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_EQ(suite_.key_update.api_key().name(), "tenants/acme/apiKeys/k");
  EXPECT_THAT(suite_.key_update.api_key().relay_sites(),
              ElementsAre("tenants/acme/sites/hq", "tenants/beta/sites/b"));
  EXPECT_THAT(suite_.key_update.update_mask().paths(), ElementsAre("relay_sites"));
}

TEST_F(CommandsTest, AnOptionMayBeEmptyBehindItsEqualSign) {
  EXPECT_THAT(WordsOf({"up", "--otlp=", "--http=a=", "--", "-x="}),
              ElementsAre("-x=", "--", "--http=a=", "", "--otlp", "up"));
}

TEST_F(CommandsTest, NobodyIsAddedForAPasswordThatCannotBeTheirs) {
  const auto create = [this](const std::string& file) {
    return Run({"user", "create", "aki", "--tenant", "acme", "--email", "aki@example.jp",
                "--password-file", file})
        .status;
  };
  EXPECT_EQ(ErrorReason(create(File("short", "short\n"))), "INVALID_FIELD");
  EXPECT_EQ(ErrorReason(create((folder_ / "none").string())), "FILE_UNREADABLE");
  EXPECT_THAT(suite_.added_users, IsEmpty());
  EXPECT_EQ(create(File("good", "correct horse battery\n")), absl::OkStatus());
  EXPECT_THAT(suite_.added_users, ElementsAre("aki"));
  ASSERT_THAT(suite_.passwords, SizeIs(1));
  EXPECT_EQ(suite_.passwords[0].name(), "tenants/acme/users/aki");
  EXPECT_EQ(suite_.passwords[0].password(), "correct horse battery");
}

TEST_F(CommandsTest, AUserWhosePasswordIsRefusedIsToldToBeThereWithoutOne) {
  suite_.password_answer = grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "the user's own id");
  const auto outcome = Run({"user", "create", "aki", "--tenant", "acme", "--email",
                            "aki@example.jp", "--password-file", File("p", "aki@example.jp")});
  EXPECT_THAT(Message(outcome.status), HasSubstr("tenants/acme/users/aki was added, but has no"));
  EXPECT_THAT(Message(outcome.status), HasSubstr("the user's own id"));
  suite_.password_answer = grpc::Status::OK;
  EXPECT_EQ(Run({"user", "set-password", "aki", "--tenant", "acme", "--password-file",
                 File("p", "correct horse battery")})
                .status,
            absl::OkStatus());
  EXPECT_EQ(suite_.passwords.back().name(), "tenants/acme/users/aki");
}

TEST_F(CommandsTest, AnAnswerThatCannotBeWrittenIsAFailure) {
  EXPECT_EXIT(
      {
        if (std::freopen("/dev/full", "w", stdout) != nullptr) Write("an answer\n");
        std::_Exit(0);
      },
      ::testing::ExitedWithCode(1), "standard output: No space left on device .OUTPUT_FAILED");
}

TEST_F(CommandsTest, WordsThatNothingTakesAreNotRepeated) {
  const std::vector<std::vector<std::string>> lines = {{"--api-key", "ygr_secret", "key", "list"},
                                                       {"--api-key=ygr_secret", "key", "list"},
                                                       {"key", "list", "ygr_secret"},
                                                       {"ygr_secret"},
                                                       {"key", "list", "--secret", "ygr_secret"}};
  for (const auto& line : lines) {
    const auto outcome = Run(line);
    EXPECT_THAT(outcome.usage, Not(IsEmpty())) << Join(line, " ");
    EXPECT_THAT(outcome.usage, Not(HasSubstr("ygr_secret"))) << Join(line, " ");
  }
  EXPECT_THAT(Run(lines[0]).usage, HasSubstr("--api-key-file"));
  EXPECT_THAT(Run(lines[4]).usage, HasSubstr("there is no option --secret here"));
  EXPECT_EQ(Run({"nonsense"}).usage, "there is no command \"nonsense\" here");
  EXPECT_EQ(Run({"key", "nonsense"}).usage, "there is no command \"nonsense\" here");
}

TEST_F(CommandsTest, AFileThatIsNotUtf8IsNamedAndKeepsNothingElseOut) {
  std::filesystem::create_directories(folder_ / "rules");
  File("rules/a.yml", "a");
  File("rules/b.yml", "title: ok\ntitle: \x83\x65\n");
  const auto rules = Run({"rule", "import", folder_ / "rules"});
  EXPECT_THAT(suite_.imported, ElementsAre(folder_ / "rules/a.yml"));
  EXPECT_THAT(rules.out, HasSubstr("b.yml is not UTF-8 in line 2"));
  const auto assets =
      Run({"asset", "import", File("a.csv", "asset_id\n\x83\x65\n"), "--tenant", "acme"});
  EXPECT_EQ(ErrorReason(assets.status), "FILE_NOT_UTF8");
}

TEST_F(CommandsTest, ANewKeyOverwritesNoFile) {
  const std::string file = File("key", "another key's\n");
  EXPECT_EQ(ErrorReason(Run({"key", "create", "k", "--tenant", "acme", "--role", "viewer",
                             "--secret-file", file})
                            .status),
            "FILE_EXISTS");
  EXPECT_EQ(Content(file), "another key's\n");
}

TEST_F(CommandsTest, AnIdNeedsItsTenant) {
  const auto outcome = Run({"rule", "get", "0b1c"});
  EXPECT_THAT(Message(outcome.status), HasSubstr("tenants/TENANT/rules/ID"));
}

TEST_F(CommandsTest, NumbersOutOfRangeAreRefusedInAShortText) {
  const std::string file = File("lines", "a\n");
  for (const auto& line :
       std::vector<std::vector<std::string>>{{"event", "histogram", "--interval", "-5"},
                                             {"send", file, "--repeat", "0"},
                                             {"send", file, "--rate", "-1"},
                                             {"key", "list", "--limit", "-1"}}) {
    const auto outcome = Run(line);
    EXPECT_THAT(outcome.usage, Not(IsEmpty())) << Join(line, " ");
    EXPECT_LT(outcome.usage.size(), 100u) << outcome.usage;
  }
}

}  // namespace
}  // namespace yagura::cli
