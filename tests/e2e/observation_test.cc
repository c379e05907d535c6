// Fixed-point observation from end to end: weeks of a firewall's denies in the event store, an hour
// that differs, the finding of it, and what the command shows.
#include <chrono>

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "google/protobuf/struct.pb.h"
#include "google/protobuf/util/json_util.h"
#include "gtest/gtest.h"

#include "common/clock/clock.h"
#include "common/eventstore/client.h"
#include "common/testing/status_matchers.h"
#include "tests/e2e/suite_process.h"

namespace yagura::e2e {
namespace {

using ::testing::HasSubstr;
using testing::IsOk;

class ObservedSuite : public ::testing::Test {
 protected:
  void Execute(const std::string& sql) {
    eventstore::ClientOptions options;
    options.addresses = {"unix:" + (suite_.data_dir() / "run" / "store.sock").string()};
    eventstore::Client client(options);
    ASSERT_THAT(client.Execute({.sql = sql}), IsOk());
  }
  // Denies of one hour, spread over it.
  void Deny(int64_t hour, int count, const std::string& device = "fw-1") {
    Execute(fmt::format(
        "INSERT INTO yagura.events (id, tenant, site, device, receive_time, event_time, action, "
        "src_ip, dst_ip, dst_port, product, category, expires) SELECT concat('e', toString({0}), "
        "'-', toString(number)), 'acme', 'hq', '{2}', fromUnixTimestamp64Nano(toInt64(({0} * 3600 "
        "+ number % 3600) * 1000000000), 'UTC') AS at, at, 2, toIPv6('::ffff:192.0.2.66'), "
        "toIPv6('::ffff:10.1.0.5'), 22, 'fortinet.fortigate', 'traffic', now() + "
        "toIntervalDay(400) FROM numbers({1})",
        hour, count, device));
  }
  // A connection that was let through, of which a relay told so many hours later.
  void Allow(int64_t hour, const std::string& src, const std::string& dst, int port,
             int hours_late = 0) {
    Execute(fmt::format(
        "INSERT INTO yagura.events (id, tenant, site, device, receive_time, event_time, action, "
        "src_ip, dst_ip, dst_port, bytes_out, product, category, raw, expires) SELECT "
        "'a-{0}-{2}-{3}', 'acme', 'hq', 'fw-1', fromUnixTimestamp64Nano(toInt64(({0} * 3600 + 90) "
        "* 1000000000), 'UTC') AS at, at - toIntervalHour({4}), 1, toIPv6('::ffff:{1}'), "
        "toIPv6('::ffff:{2}'), {3}, "
        "1200, 'fortinet.fortigate', 'traffic', '{1} -> {2}:{3}', now() + toIntervalDay(400)",
        hour, src, dst, port, hours_late));
  }
  void Cover(int64_t hour) {
    Execute(fmt::format(
        "INSERT INTO yagura.coverage (tenant, source, hour, instance, sequence, site, device, "
        "lines, minutes, watched) SELECT 'acme', 'fw-1', toDateTime({} * 3600, 'UTC'), 'i', 1, "
        "'hq', 'fw-1', 1000, 1152921504606846975, 1152921504606846975",
        hour));
  }

  SuiteProcess suite_;
};

TEST_F(ObservedSuite, AnHourOfManyDeniesIsFoundAndShown) {
  const int64_t now =
      std::chrono::floor<std::chrono::hours>(SystemClock()->Now()).time_since_epoch().count();
  // Events are counted since long ago.
  Execute(
      "INSERT INTO yagura.schema_version (version, description, oldest_reader, applied) SELECT 11, "
      "'test', 5, now64(3) - toIntervalDay(100)");
  for (int week = 1; week <= 5; ++week) {
    for (int64_t hour = now - 168 * week - 7; hour <= now - 168 * week + 4; ++hour) {
      Deny(hour, 50);
      Cover(hour);
    }
  }
  // Whichever hour is judged first, by the minute at which this runs.
  for (const int64_t hour : {now - 2, now - 1}) {
    Deny(hour, 3'000);
    Cover(hour);
  }
  Execute(fmt::format(
      "INSERT INTO yagura.events (id, tenant, site, device, receive_time, event_time, product, "
      "category, vendor_event_id, raw, expires) SELECT 'u-1', 'acme', 'hq', 'fw-1', "
      "fromUnixTimestamp64Nano(toInt64(({} * 3600 + 60) * 1000000000), 'UTC') AS at, at, "
      "'fortinet.fortigate', 'event', '0100041000', 'logdesc=\"FortiGate update succeeded\"', "
      "now() "
      "+ toIntervalDay(400)",
      now - 3));
  suite_.Run({"tenant", "create", "acme", "--display-name", "Acme"});
  const auto found = [&] {
    return suite_.Run({"observe", "findings", "--tenant", "acme", "-o", "jsonl"});
  };
  ASSERT_TRUE(Eventually(std::chrono::seconds(90), [&] {
    return found().find("Far more denied connections") != std::string::npos;
  })) << ReadAll(suite_.OutputFile());
  const std::string finding = found();
  EXPECT_THAT(finding, HasSubstr("192.0.2.66"));
  EXPECT_THAT(finding, HasSubstr("\"time_zone\":\"Asia/Tokyo\""));
  EXPECT_THAT(finding, HasSubstr("\"observed\":3000"));
  EXPECT_THAT(finding, HasSubstr("SIGNATURE_UPDATE"));
  EXPECT_THAT(finding, HasSubstr("\"event_id\"")) << "events of it";

  const std::string series = suite_.Run(
      {"observe", "series", "fw-1", "--tenant", "acme", "--measure", "denies", "--since", "12h"});
  EXPECT_THAT(series, HasSubstr("Asia/Tokyo"));
  EXPECT_THAT(series, HasSubstr("FAR MORE"));
  EXPECT_THAT(series, HasSubstr("unknown")) << "hours of which there are no logs";
  const std::string spark = suite_.Run(
      {"observe", "series", "fw-1", "--tenant", "acme", "--measure", "denies", "--spark"});
  EXPECT_THAT(spark, HasSubstr("^"));

  suite_.Run({"observe", "set", "--tenant", "acme", "--sensitivity", "high", "--special-day",
              "2026-11-23", "--reason", "agreed"});
  EXPECT_THAT(suite_.Run({"observe", "policy", "--tenant", "acme"}), HasSubstr("agreed"));
  suite_.Run({"observe", "set", "--tenant", "acme", "--weeks", "99"}, 1);
}

// As the store's own views add up what servers reach: nobody answers for it here.
TEST_F(ObservedSuite, ADestinationThatAServerNeverReachedIsFound) {
  const int64_t now =
      std::chrono::floor<std::chrono::hours>(SystemClock()->Now()).time_since_epoch().count();
  suite_.Run({"placeholder", "set", "servers", "--tenant", "provider", "--value", "10.1.0.0/24"});
  const std::string usual = "198.51.100.7";
  for (int64_t hour = now - 24 * 20; hour < now; hour += 5) Allow(hour, "10.1.0.5", usual, 443);
  // Whichever hour is judged first, by the minute at which this runs, has what is new in it alone.
  for (const int64_t hour : {now - 2, now - 1}) {
    const int odd = static_cast<int>(now - hour);
    Allow(hour, "10.1.0.5", fmt::format("203.0.113.{}", odd), 443, 2);
    Allow(hour, "10.1.0.5", usual, 8440 + odd);                          // known by another port
    Allow(hour, "10.1.0.5", fmt::format("10.2.0.{}", odd), 445);         // inside
    Allow(hour, "192.168.7.7", fmt::format("203.0.113.7{}", odd), 443);  // no server
  }
  Allow(now - 1, "10.1.0.6", "203.0.113.81", 443);  // a server that is new itself
  suite_.Run({"tenant", "create", "acme", "--display-name", "Acme"});
  const auto found = [&] {
    return suite_.Run({"observe", "findings", "--tenant", "acme", "-o", "jsonl"});
  };
  ASSERT_TRUE(Eventually(std::chrono::seconds(90), [&] {
    return found().find("reached a destination for the first time") != std::string::npos;
  })) << ReadAll(suite_.OutputFile());
  const std::string finding = found();
  EXPECT_THAT(finding, HasSubstr("The server 10.1.0.5 reached"));
  EXPECT_THAT(finding, HasSubstr("203.0.113."));
  for (const char* other : {"198.51.100.7", "10.2.0.", "203.0.113.7", "203.0.113.8"}) {
    EXPECT_THAT(finding, ::testing::Not(HasSubstr(other)));
  }
  EXPECT_THAT(finding, HasSubstr("\"event_id\""));
  google::protobuf::Struct read;
  const std::string line = finding.substr(0, finding.find('\n'));
  ASSERT_TRUE(google::protobuf::util::JsonStringToMessage(line, &read).ok()) << line;
  const auto search = [&read](const char* field) {
    return read.fields().at("search").struct_value().fields().at(field).string_value();
  };
  EXPECT_EQ(search("basis"), "RECEIVED");
  EXPECT_THAT(suite_.Run({"event", "search", search("filter"), "--since", search("start_time"),
                          "--until", search("end_time"), "--tenant", "acme", "-o", "jsonl"}),
              HasSubstr("203.0.113."))
      << line;
}

}  // namespace
}  // namespace yagura::e2e
