// A question over all tenants, asked with the command as an analyst would: over what the suite has
// received and stored, also when it is killed meanwhile; and what a tenant's rules can see at all.

#include <fstream>
#include <map>

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "google/protobuf/util/json_util.h"
#include "gtest/gtest.h"

#include "common/clock/clock.h"
#include "common/testing/process.h"
#include "common/text/text.h"
#include "tests/e2e/suite_process.h"
#include "yagura/archive/v1/archive_service.grpc.pb.h"
#include "yagura/detection/v1/detection_service.grpc.pb.h"
#include "yagura/directory/v1/directory_service.grpc.pb.h"

namespace yagura::e2e {
namespace {

using detection::v1::DetectionService;
using detection::v1::HuntResult;
using std::chrono::seconds;
using ::testing::HasSubstr;

constexpr int kLines = 20'000;
constexpr int kKills = 4;

// An attack as a FortiGate tells it.
std::string Attack(const std::string& source, const std::string& action, const std::string& attack,
                   const std::string& message) {
  return fmt::format(
      "<185>date=2026-01-01 time=00:00:00 devname=\"fw-1\" devid=\"FGT60FTK00000001\" eventtime={} "
      "tz=\"+0000\" logid=\"0419016384\" type=\"utm\" subtype=\"ips\" eventtype=\"signature\" "
      "level=\"alert\" vd=\"root\" severity=\"critical\" srcip={} dstip=10.1.0.9 "
      "action=\"{}\" proto=6 srcport=1025 dstport=80 attack=\"{}\" attackid=7 msg=\"{}\"\n",
      SystemClock()->Now().time_since_epoch().count(), source, action, attack, message);
}

class HuntEndToEnd : public ::testing::Test {
 protected:
  std::filesystem::path Settings() const {
    const auto kev = folder_.path() / "kev.json";
    std::ofstream(kev) << R"({"vulnerabilities": [{"cveID": "CVE-2021-44228",
        "vendorProject": "Apache", "product": "Log4j2",
        "vulnerabilityName": "Apache Log4j2 Remote Code Execution Vulnerability"}]})";
    const auto settings = folder_.path() / "settings.yml";
    std::ofstream(settings) << fmt::format("detection:\n  kev_file: {}\n", kev.string());
    return settings;
  }

  void CreateTenant(const std::string& id) {
    suite_.Run(
        {"tenant", "create", id, "--display-name", id, "--time-zone", "UTC", "--language", "en"});
  }
  void Send(const std::string& tenant, const std::string& lines) {
    const auto file = suite_.data_dir() / "lines.log";
    std::ofstream(file) << lines;
    suite_.Run(
        {"send", "--to", "grpc", "--tenant", tenant, "--parser", "fortigate", file.string()});
  }
  void AwaitStored(const std::string& tenant, uint64_t events) {
    archive::v1::CountEventsRequest count;
    count.set_parent("tenants/" + tenant);
    auto client = suite_.Connect();
    EXPECT_TRUE(Eventually(seconds(120), [&] {
      const auto response = client.Call(&archive::v1::ArchiveService::Stub::CountEvents, count);
      return response.ok() && response->total() >= events;
    })) << tenant;
  }
  static std::map<std::string, HuntResult> ResultsIn(const std::string& json_lines) {
    std::map<std::string, HuntResult> results;
    for (const auto line : Split(json_lines, '\n')) {
      if (line.empty() || line.front() != '{') continue;
      HuntResult result;
      EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(std::string(line), &result).ok())
          << line;
      results[std::string(Split(result.name(), '/')[1])] = result;
    }
    return results;
  }
  std::string KeyOf(const std::string& tenant, const std::string& role) {
    auto admin = suite_.Connect();
    directory::v1::CreateApiKeyRequest request;
    request.set_parent("tenants/" + tenant);
    request.mutable_api_key()->add_roles()->set_role(role);
    const auto response = admin.Call(&directory::v1::DirectoryService::Stub::CreateApiKey, request);
    EXPECT_TRUE(response.ok());
    return response.ok() ? response->secret() : "";
  }

  const testing::TemporaryFolder folder_;
  SuiteProcess suite_{{"--settings", Settings().string()}};
};

TEST_F(HuntEndToEnd, WhoHasTheProductWhoWasAttackedAndWhatPassed) {
  for (const char* tenant : {"acme", "globex", "initech"}) CreateTenant(tenant);
  suite_.Run({"asset", "create", "web", "--tenant", "acme", "--product", "apache:log4j:2.14.1"});
  Send("acme", Attack("198.51.100.7", "dropped", "Log4j.Shell", "CVE-2021-44228 was tried") +
                   Attack("198.51.100.8", "detected", "Log4j.Shell", "CVE-2021-44228 was tried") +
                   Attack("198.51.100.9", "dropped", "Apache.Log4j.Error", "\x1b[31mred") +
                   Attack("198.51.100.9", "dropped", "Other.Attack", "nothing"));
  Send("globex", Attack("198.51.100.7", "dropped", "Log4j.Shell", "CVE-2021-44228 was tried"));
  AwaitStored("acme", 4);
  AwaitStored("globex", 1);

  // What ingestion counted comes a few seconds later.
  EXPECT_TRUE(Eventually(seconds(60), [&] {
    return suite_.Run({"coverage", "list", "--tenant", "acme", "-o", "jsonl"}).size() > 2;
  }));

  const auto started = suite_.Run({"hunt", "start", "--cve", "cve-2021-44228", "-o", "jsonl"});
  auto results = ResultsIn(started);
  ASSERT_EQ(results.size(), 3u) << started;
  EXPECT_EQ(results["acme"].product_presence(), detection::v1::PRODUCT_FOUND);
  EXPECT_EQ(results["acme"].attempted().count(), 2u);
  EXPECT_EQ(results["acme"].passed().count(), 1u);
  EXPECT_EQ(results["acme"].blocked().count(), 1u);
  EXPECT_EQ(results["acme"].related().count(), 1u);
  EXPECT_GT(results["acme"].coverage().line_count(), 0u);
  EXPECT_EQ(results["globex"].product_presence(), detection::v1::PRODUCT_UNKNOWN);
  EXPECT_EQ(results["globex"].attempted().count(), 1u);
  EXPECT_EQ(results["initech"].attempted().count(), 0u);
  EXPECT_FALSE(results["initech"].has_first_receive_time());

  // The same as a table, in which nothing of a log line moves the terminal.
  const std::string hunt = results["acme"].hunt();
  const auto shown = suite_.Run({"hunt", "show", hunt});
  EXPECT_THAT(shown, HasSubstr("yes (1)"));
  EXPECT_EQ(shown.find('\x1b'), std::string::npos);
  const auto evidence = suite_.Run({"hunt", "show", hunt, "--tenant", "acme", "-o", "json"});
  EXPECT_THAT(evidence, HasSubstr("198.51.100.8"));

  // A rule, and indicators with a mistake.
  const auto list = suite_.data_dir() / "list.csv";
  std::ofstream(list) << "ioc,comment\n198.51.100.7,c2\n198.51.100[.]8,c2\n";
  results = ResultsIn(suite_.Run({"hunt", "start", "--indicators", list.string(), "--tenant",
                                  "acme", "--since", "1d", "-o", "jsonl"}));
  ASSERT_EQ(results.size(), 1u);
  EXPECT_EQ(results["acme"].attempted().count(), 2u);
  std::ofstream(list) << "198.51.100.7\nnonsense\n";
  EXPECT_THAT(suite_.Run({"hunt", "start", "--indicators", list.string()}, 1), HasSubstr("line 2"));
  const auto rule = suite_.data_dir() / "rule.yml";
  std::ofstream(rule) << "title: Shells\nid: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c001\nlevel: high\n"
                         "logsource:\n  product: fortigate\ndetection:\n  s:\n"
                         "    attack|startswith: Log4j\n  condition: s\n";
  results = ResultsIn(suite_.Run({"hunt", "start", "--rule", rule.string(), "-o", "jsonl"}));
  EXPECT_EQ(results["acme"].attempted().count(), 2u);
  EXPECT_EQ(results["globex"].attempted().count(), 1u);

  // A customer sees the one row, and not the question.
  auto customer = suite_.Connect(KeyOf("globex", "customer-viewer"));
  detection::v1::ListHuntResultsRequest own;
  own.set_parent("tenants/-");
  own.set_hunt(hunt);
  const auto rows = customer.Call(&DetectionService::Stub::ListHuntResults, own);
  ASSERT_TRUE(rows.ok()) << rows.status();
  ASSERT_EQ(rows->hunt_results_size(), 1);
  EXPECT_THAT(rows->hunt_results(0).name(), HasSubstr("tenants/globex/"));
  detection::v1::GetHuntRequest question;
  question.set_name(hunt);
  EXPECT_EQ(customer.Call(&DetectionService::Stub::GetHunt, question).status().code(),
            absl::StatusCode::kPermissionDenied);
  own.set_parent("tenants/acme");
  EXPECT_EQ(customer.Call(&DetectionService::Stub::ListHuntResults, own).status().code(),
            absl::StatusCode::kPermissionDenied);

  // What the rules in force can see of these logs: of a FortiGate's, nothing of Windows.
  suite_.Run({"rule", "import", rule.string(), "--tenant", "acme"});
  const auto windows = suite_.data_dir() / "windows.yml";
  std::ofstream(windows) << "title: Processes\nid: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c002\n"
                            "level: high\nlogsource:\n  product: windows\n"
                            "  category: process_creation\ndetection:\n  s:\n    Image: x\n"
                            "  condition: s\n";
  const auto partly = suite_.data_dir() / "partly.yml";
  std::ofstream(partly) << "title: No such field\nid: 4b4aa1e8-6a3f-4c6b-9d6e-0a86b7f3c003\n"
                           "level: high\nlogsource:\n  product: fortigate\ndetection:\n  s:\n"
                           "    nosuchfield: x\n  condition: s\n";
  suite_.Run({"rule", "import", windows.string(), partly.string(), "--tenant", "acme"});
  std::string coverage;
  EXPECT_TRUE(Eventually(seconds(30), [&] {
    coverage = suite_.Run({"rule", "coverage", "--tenant", "acme", "--limit", "1000", "-o", "jsonl",
                           "--filter",
                           "title = \"Shells\" OR title = \"Processes\" OR title = \"No such "
                           "field\""});
    // The set of rules takes a moment; what was looked at is remembered for two minutes.
    return Split(coverage, '\n').size() == 4;
  }));
  std::map<std::string, detection::v1::RuleCoverage> rules;
  for (const auto line : Split(coverage, '\n')) {
    detection::v1::RuleCoverage one;
    if (line.empty()) continue;
    ASSERT_TRUE(google::protobuf::util::JsonStringToMessage(std::string(line), &one).ok());
    rules[one.title()] = one;
  }
  EXPECT_EQ(rules["Shells"].level(), detection::v1::COVERED);
  EXPECT_EQ(rules["Processes"].level(), detection::v1::NO_SOURCE);
  EXPECT_EQ(rules["No such field"].level(), detection::v1::PARTLY_COVERED);
  EXPECT_THAT(rules["No such field"].reasons(0), HasSubstr("nosuchfield"));
  EXPECT_THAT(suite_.Run({"rule", "coverage", "--tenant", "acme", "--by-technique"}),
              HasSubstr("TECHNIQUE"));
}

TEST_F(HuntEndToEnd, AKillOfTheSuiteLosesAndDoublesNothing) {
  CreateTenant("acme");
  std::string lines;
  for (int i = 0; i < kLines; ++i) {
    lines += Attack(fmt::format("198.51.100.{}", i % 200), i % 4 == 0 ? "detected" : "dropped",
                    "Some.Attack", fmt::format("{}", i));
  }
  Send("acme", lines);
  AwaitStored("acme", kLines);
  const auto list = suite_.data_dir() / "list.txt";
  std::ofstream(list) << "198.51.100.0/25\n";
  std::vector<std::string> hunts;
  for (int i = 0; i < kKills; ++i) {
    const auto hunt = suite_.Run({"hunt", "start", "--indicators", list.string(), "--tenant",
                                  "acme", "--no-wait", "-o", "json"});
    const auto name = hunt.find("tenants/provider/hunts/");
    ASSERT_NE(name, std::string::npos) << hunt;
    hunts.push_back(hunt.substr(name, hunt.find('"', name) - name));
    suite_.KillHard();
    suite_.Start();
  }
  auto client = suite_.Connect();
  for (const auto& hunt : hunts) {
    detection::v1::GetHuntRequest get;
    get.set_name(hunt);
    EXPECT_TRUE(Eventually(seconds(120), [&] {
      const auto now = client.Call(&DetectionService::Stub::GetHunt, get);
      return now.ok() && now->state() == detection::v1::DONE;
    })) << hunt;
    auto results = ResultsIn(suite_.Run({"hunt", "show", hunt, "-o", "jsonl"}));
    EXPECT_EQ(results["acme"].attempted().count(), kLines / 200 * 128u) << hunt;
    EXPECT_EQ(results["acme"].passed().count(), kLines / 200 * 32u) << hunt;
  }
  suite_.Stop();
}

}  // namespace
}  // namespace yagura::e2e
