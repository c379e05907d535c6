// Investigations and reports from outside, over a real event store.
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "archive_fixture.h"
#include "common/clock/proto_time.h"
#include "common/event/event_view.h"
#include "common/testing/status_matchers.h"
#include "services/archive/api/investigation_handlers.h"
#include "services/archive/workers/range_inserter.h"

namespace yagura::archive {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::IsOk;
using testing::StatusIs;

std::string Ip(const std::string& text) {
  const auto address = event::IpAddress::Parse(text);
  return std::string(address->bytes());
}

event::v1::Event At(std::chrono::nanoseconds when) {
  event::v1::Event event;
  event.set_tenant("acme");
  event.set_site("tokyo");
  event.set_device("fw1");
  event.set_product("fortinet.fortigate");
  *event.mutable_receive_time() = ToProto(BaseTime() + when);
  *event.mutable_event_time() = event.receive_time();
  return event;
}

// A session of `inside`:50000 through 203.0.113.5:`port` that ends at `end`.
event::v1::Event Session(const std::string& inside, uint32_t port, std::chrono::nanoseconds end,
                         seconds lasted, const std::string& peer = "198.51.100.7") {
  event::v1::Event event = At(end);
  event.set_category("traffic");
  event.set_action(event::v1::ALLOWED);
  event.mutable_src()->set_ip(Ip(inside));
  event.mutable_src()->set_port(50'000);
  event.mutable_src()->set_translated_ip(Ip("203.0.113.5"));
  event.mutable_src()->set_translated_port(port);
  event.mutable_dst()->set_ip(Ip(peer));
  event.mutable_dst()->set_port(443);
  event.set_protocol("tcp");
  event.set_bytes_out(1000);
  *event.mutable_duration() = ToProtoDuration(lasted);
  event.set_raw("session");
  return event;
}

event::v1::Event Lease(const std::string& address, const std::string& mac, const std::string& host,
                       std::chrono::nanoseconds when, const std::string& kind = "DHCPACK") {
  event::v1::Event event = At(when);
  event.set_product("isc.dhcpd");
  event.set_category("dhcp");
  event.set_vendor_event_id(kind);
  event.mutable_src()->set_ip(Ip(address));
  event.mutable_src()->set_mac(mac);
  event.mutable_src()->set_host(host);
  event.set_raw(kind);
  return event;
}

class InvestigationTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    archive_ = new Archive;
    event::BatchBuilder builder({"acme", "a", BaseTime()});
    for (const auto& event :
         {Lease("10.9.9.9", "aa:aa:aa:aa:aa:09", "pc9", hours(1)),
          Lease("10.9.9.9", "aa:aa:aa:aa:aa:77", "", hours(2), "DHCPNAK"),
          Session("10.9.9.9", 40'001, hours(5), seconds(600)),
          Session("10.9.9.8", 40'001, hours(6), seconds(30)),
          Session("10.9.9.9", 40'002, hours(6) + minutes(10), seconds(1), "192.0.2.99"),
          Session("10.9.9.9", 40'003, hours(6) + minutes(10), seconds(1), "10.1.1.1")}) {
      builder.Add(event);
    }
    builder.Add(Lease("10.9.7.7", "aa:aa:aa:aa:aa:07", "pc7", hours(1)));
    event::v1::Event routed = Session("10.9.7.7", 41'000, hours(3), seconds(1));
    routed.mutable_src()->set_mac("bb:bb:bb:bb:bb:01");
    builder.Add(routed);
    event::v1::Event attack = At(hours(6) + minutes(11));
    attack.set_signature("Evil.C2");
    attack.set_severity(event::v1::CRITICAL);
    attack.set_action(event::v1::BLOCKED);
    attack.mutable_src()->set_ip(Ip("10.9.9.9"));
    attack.set_user("taro");
    attack.set_raw("found 44d88612fea8a8f36de82e1278abb02f in a file");
    builder.Add(attack);
    event::v1::Event published = At(hours(7));
    published.mutable_src()->set_ip(Ip("198.51.100.50"));
    published.mutable_dst()->set_ip(Ip("203.0.113.80"));
    published.mutable_dst()->set_port(443);
    published.mutable_dst()->set_translated_ip(Ip("10.0.0.80"));
    published.mutable_dst()->set_translated_port(8443);
    builder.Add(published);
    const RangeInserter inserter(archive_->client, archive_->table, archive_->retention);
    RangeData range;
    range.plan.set_token("fixture");
    range.entries.push_back({{1, 0}, "a", builder.Finish()});
    ASSERT_THAT(inserter.Insert(range), IsOk());
  }
  static void TearDownTestSuite() {
    delete archive_;
    archive_ = nullptr;
  }

  static v1::TraceEndpointRequest Report(uint32_t port, std::chrono::nanoseconds when) {
    v1::TraceEndpointRequest request;
    request.set_parent("tenants/acme");
    request.set_address("203.0.113.5");
    request.set_port(port);
    *request.mutable_time() = ToProto(BaseTime() + when);
    return request;
  }
  static v1::InvestigateEntityRequest About(const std::string& entity) {
    v1::InvestigateEntityRequest request;
    request.set_parent("tenants/acme");
    request.set_entity(entity);
    *request.mutable_time() = ToProto(BaseTime() + hours(6));
    request.mutable_before()->set_seconds(1800);
    request.mutable_after()->set_seconds(3600);
    return request;
  }

  static Archive* archive_;
  const rpc::Call acme_ = MakeCall("acme", {"acme"});
  const QueryRunner runner_{archive_->client, SystemClock(), {}};
  const InvestigationHandlers handlers_{runner_, archive_->table};
};
Archive* InvestigationTest::archive_ = nullptr;

TEST_F(InvestigationTest, AReportFromOutsideLeadsThroughTranslationAndLeaseToTheMachine) {
  // In the middle of a session that was told of at its end.
  ASSERT_OK_AND_ASSIGN(const auto response,
                       handlers_.TraceEndpoint(acme_, Report(40'001, hours(5) - minutes(7))));
  ASSERT_EQ(response.candidates_size(), 1);
  const auto& candidate = response.candidates(0);
  EXPECT_EQ(candidate.inside_ip(), Ip("10.9.9.9"));
  EXPECT_EQ(candidate.inside_port(), 50'000u);
  EXPECT_TRUE(candidate.translated());
  EXPECT_FALSE(candidate.incoming());
  EXPECT_EQ(FromProto(candidate.distance()).count(), 0);
  EXPECT_EQ(FromProto(candidate.start_time()), BaseTime() + hours(5) - seconds(600));
  ASSERT_EQ(candidate.terminals_size(), 1) << "what the DHCP server refused is no lease";
  EXPECT_EQ(candidate.terminals(0).mac(), "aa:aa:aa:aa:aa:09");
  EXPECT_EQ(candidate.terminals(0).host(), "pc9");
  EXPECT_EQ(candidate.terminals(0).lease_count(), 1u);
  EXPECT_FALSE(candidate.event_id().empty());
  EXPECT_GT(response.hours_in_range(), 1u);
  EXPECT_THAT(response.remarks(), Contains(HasSubstr("sources sent nothing in some")));
}

TEST_F(InvestigationTest, ALeaseSaysMoreThanTheAddressOfARouter) {
  ASSERT_OK_AND_ASSIGN(const auto response,
                       handlers_.TraceEndpoint(acme_, Report(41'000, hours(3))));
  ASSERT_EQ(response.candidates_size(), 1);
  ASSERT_EQ(response.candidates(0).terminals_size(), 2);
  EXPECT_EQ(response.candidates(0).terminals(0).mac(), "aa:aa:aa:aa:aa:07");
  EXPECT_EQ(response.candidates(0).terminals(1).mac(), "bb:bb:bb:bb:bb:01");
  EXPECT_THAT(response.remarks(), Contains(HasSubstr("leases before others")));
}

TEST_F(InvestigationTest, AClockThatMayBeWrongGivesAllCandidatesTheNearestFirst) {
  auto request = Report(40'001, hours(6) + minutes(2));
  ASSERT_OK_AND_ASSIGN(const auto near, handlers_.TraceEndpoint(acme_, request));
  ASSERT_EQ(near.candidates_size(), 1);
  EXPECT_EQ(near.candidates(0).inside_ip(), Ip("10.9.9.8"));
  EXPECT_THAT(near.remarks(), Contains(HasSubstr("no session covers the reported time")));
  EXPECT_THAT(near.remarks(), Contains(HasSubstr("no event of the 7 days before tells")));
  request.mutable_clock_tolerance()->set_seconds(2 * 3600);
  ASSERT_OK_AND_ASSIGN(const auto wide, handlers_.TraceEndpoint(acme_, request));
  ASSERT_EQ(wide.candidates_size(), 2);
  EXPECT_EQ(wide.candidates(0).inside_ip(), Ip("10.9.9.8"));
  EXPECT_EQ(wide.candidates(1).inside_ip(), Ip("10.9.9.9"));
  EXPECT_THAT(wide.remarks(), Contains(HasSubstr("2 inside addresses had the endpoint")));
  request.set_peer_address("192.0.2.99");
  request.set_port(0);
  ASSERT_OK_AND_ASSIGN(const auto by_peer, handlers_.TraceEndpoint(acme_, request));
  ASSERT_EQ(by_peer.candidates_size(), 1);
  EXPECT_THAT(by_peer.remarks(), Contains(HasSubstr("without a port")));
}

TEST_F(InvestigationTest, APublishedServerIsFoundFromOutside) {
  auto request = Report(443, hours(7));
  request.set_address("203.0.113.80");
  ASSERT_OK_AND_ASSIGN(const auto response, handlers_.TraceEndpoint(acme_, request));
  ASSERT_EQ(response.candidates_size(), 1);
  EXPECT_TRUE(response.candidates(0).incoming());
  EXPECT_EQ(response.candidates(0).inside_ip(), Ip("10.0.0.80"));
  EXPECT_EQ(response.candidates(0).inside_port(), 8443u);
}

TEST_F(InvestigationTest, WhatNobodySawIsSaid) {
  ASSERT_OK_AND_ASSIGN(const auto response, handlers_.TraceEndpoint(acme_, Report(1, hours(-100))));
  EXPECT_THAT(response.candidates(), IsEmpty());
  EXPECT_THAT(response.remarks(), Contains(HasSubstr("no event that was received names")));
  EXPECT_THAT(response.remarks(), Contains(HasSubstr("no source sent anything")));
  ASSERT_OK_AND_ASSIGN(const auto foreign, handlers_.TraceEndpoint(MakeCall("beta", {"beta"}),
                                                                   Report(40'001, hours(5))));
  EXPECT_THAT(foreign.candidates(), IsEmpty());
}

TEST_F(InvestigationTest, AnAddressHasItsTimelinePeersAndFacts) {
  ASSERT_OK_AND_ASSIGN(const auto response, handlers_.InvestigateEntity(acme_, About("10.9.9.9")));
  EXPECT_EQ(response.type(), v1::INVESTIGATED_ADDRESS);
  EXPECT_EQ(response.event_count(), 3u);
  ASSERT_EQ(response.timeline_size(), 3);
  EXPECT_EQ(response.timeline(2).what(), "Evil.C2");
  EXPECT_EQ(response.timeline(2).severity(), event::v1::CRITICAL);
  ASSERT_EQ(response.peers_size(), 3) << "of the whole day";
  int outside = 0;
  for (const auto& peer : response.peers()) {
    EXPECT_TRUE(peer.outgoing());
    outside += peer.outside() ? 1 : 0;
    EXPECT_EQ(peer.is_new(),
              FromProto(peer.flow().first_time()) >= BaseTime() + hours(5) + minutes(30));
  }
  EXPECT_EQ(outside, 2);
  bool evil = false;
  for (const auto& fact : response.first_seen()) {
    if (fact.value() == "Evil.C2") evil = fact.is_new() && fact.kind() == "signature";
    if (fact.value() == "pc9") {
      EXPECT_FALSE(fact.is_new());
    }
  }
  EXPECT_TRUE(evil);
  EXPECT_GT(response.coverage_size(), 0);
}

TEST_F(InvestigationTest, UsersHashesAndNamesAreKnownByTheirForm) {
  ASSERT_OK_AND_ASSIGN(const auto user, handlers_.InvestigateEntity(acme_, About("taro")));
  EXPECT_EQ(user.type(), v1::INVESTIGATED_NAME);
  EXPECT_EQ(user.event_count(), 1u);
  ASSERT_OK_AND_ASSIGN(const auto hash, handlers_.InvestigateEntity(
                                            acme_, About("44D88612FEA8A8F36DE82E1278ABB02F")));
  EXPECT_EQ(hash.type(), v1::INVESTIGATED_HASH);
  EXPECT_EQ(hash.event_count(), 1u);
  ASSERT_OK_AND_ASSIGN(const auto hostile,
                       handlers_.InvestigateEntity(acme_, About("x\" OR user:* OR user = \"")));
  EXPECT_EQ(hostile.event_count(), 0u);
  ASSERT_OK_AND_ASSIGN(const auto star, handlers_.InvestigateEntity(acme_, About("*")));
  EXPECT_EQ(star.event_count(), 0u);
  auto wrong = About("taro");
  wrong.set_type(v1::INVESTIGATED_ADDRESS);
  EXPECT_THAT(handlers_.InvestigateEntity(acme_, wrong),
              StatusIs(absl::StatusCode::kInvalidArgument));
  wrong = About("taro");
  wrong.mutable_before()->set_seconds(40LL * 24 * 3600);
  EXPECT_THAT(handlers_.InvestigateEntity(acme_, wrong),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(InvestigationTest, WhatDoesNotFitIsCounted) {
  auto request = About("10.9.9.9");
  request.set_timeline_size(1);
  ASSERT_OK_AND_ASSIGN(const auto response, handlers_.InvestigateEntity(acme_, request));
  ASSERT_EQ(response.timeline_size(), 1);
  EXPECT_EQ(response.timeline(0).what(), "Evil.C2") << "the gravest first";
  EXPECT_EQ(response.events_left_out(), 2u);
  EXPECT_THAT(response.remarks(), Contains(HasSubstr("2 of 3 events")));
}

TEST(IsPublic, KnowsWhatIsRoutedInTheInternet) {
  for (const char* text : {"8.8.8.8", "198.51.100.1", "172.32.0.1", "100.128.0.1", "2001:db8::1"}) {
    EXPECT_TRUE(IsPublic(Ip(text))) << text;
  }
  for (const char* text :
       {"10.1.2.3", "172.31.255.255", "192.168.0.1", "100.64.0.1", "127.0.0.1", "169.254.1.1",
        "224.0.0.1", "255.255.255.255", "0.0.0.0", "fe80::1", "fd00::1", "ff02::1", "::1"}) {
    EXPECT_FALSE(IsPublic(Ip(text))) << text;
  }
  EXPECT_FALSE(IsPublic(""));
}

}  // namespace
}  // namespace yagura::archive
