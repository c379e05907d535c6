#include "services/notification/domain/message.h"

#include "gmock/gmock.h"
#include "google/protobuf/struct.pb.h"
#include "google/protobuf/util/json_util.h"
#include "gtest/gtest.h"

#include "common/clock/proto_time.h"

namespace yagura::notification {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

v1::Alert SampleAlert() {
  v1::Alert alert;
  alert.set_name("tenants/acme/alerts/0123-1");
  alert.set_title("SSH brute force");
  alert.set_severity(event::v1::HIGH);
  alert.set_state(v1::OPEN);
  alert.set_device("fw-1");
  alert.set_event_count(42);
  alert.set_finding_count(2);
  alert.set_action(event::v1::BLOCKED);
  *alert.mutable_first_event_time() =
      ToProto(std::chrono::sys_days(std::chrono::year(2026) / 1 / 5));
  alert.add_entities("source address 192.0.2.7");
  alert.add_sample_lines("date=2026-01-05 srcip=192.0.2.7 action=\"deny\"");
  return alert;
}

TEST(MailText, SaysWhatWhereWhenAndHowMuch) {
  const Text text = MailText(SampleAlert(), "https://portal.example.com");
  EXPECT_EQ(text.subject, "[HIGH] acme: SSH brute force");
  for (const char* part :
       {"Severity:     HIGH\n", "Tenant:       acme\n", "Device:       fw-1\n",
        "First event:  2026-01-05T00:00:00Z\n", "Events:       42\n",
        "Action:       the device blocked it\n", "  source address 192.0.2.7\n",
        "  date=2026-01-05 srcip=192.0.2.7 action=\"deny\"\n",
        "Open:         https://portal.example.com/tenants/acme/alerts/0123-1\n"}) {
    EXPECT_THAT(text.body, HasSubstr(part));
  }
}

TEST(MailText, SaysWhatItMeansAndWhatToDo) {
  v1::Alert alert = SampleAlert();
  alert.mutable_impact()->set_level(detection::v1::NOT_AFFECTED);
  alert.mutable_impact()->set_confidence(detection::v1::Impact::LOW);
  alert.mutable_impact()->add_reasons("It was aimed at\x1b[2J the asset web.");
  alert.mutable_advice()->set_language("ja");
  alert.mutable_advice()->set_title("題");
  alert.mutable_advice()->set_cause("理由 192.0.2.7\nBcc: x");
  alert.mutable_advice()->set_countermeasure("fw-1 で拒否");
  const Text text = MailText(alert, "");
  EXPECT_THAT(text.body, HasSubstr("Impact:       NOT AFFECTED (low confidence)\n"));
  EXPECT_THAT(text.body, HasSubstr("  It was aimed at\\x1b[2J the asset web.\n"));
  EXPECT_THAT(text.body, HasSubstr("\n題\n\n原因:\n  理由 192.0.2.7"));
  EXPECT_THAT(text.body, HasSubstr("\n対策:\n  fw-1 で拒否\n"));
  EXPECT_THAT(text.body, Not(HasSubstr("\nBcc")));
  EXPECT_THAT(MailText(SampleAlert(), "").body, Not(HasSubstr("Impact")));
  google::protobuf::Struct json;
  const Text webhook = WebhookText(alert);
  ASSERT_TRUE(google::protobuf::util::JsonStringToMessage(webhook.body, &json).ok());
  const auto& inner = json.fields().at("alert").struct_value().fields();
  const auto& impact = inner.at("impact").struct_value().fields();
  EXPECT_EQ(impact.at("level").string_value(), "NOT_AFFECTED");
  EXPECT_EQ(impact.at("reasons").list_value().values_size(), 1);
  const auto& advice = inner.at("advice").struct_value().fields();
  EXPECT_EQ(advice.at("countermeasure").string_value(), "fw-1 で拒否");
}

TEST(MailText, ATitleCannotAddALineOrAHeader) {
  v1::Alert alert = SampleAlert();
  alert.set_title("x\r\nBcc: everyone@example.com\r\n\r\nnew body");
  const Text text = MailText(alert, "");
  EXPECT_THAT(text.subject, Not(HasSubstr("\n")));
  EXPECT_THAT(text.body, Not(HasSubstr("\nBcc:")));
}

TEST(WebhookText, IsJsonWhateverTheTexts) {
  v1::Alert alert = SampleAlert();
  alert.set_title("quote \" backslash \\ newline \n 櫓 \xff");
  const Text text = WebhookText(alert);
  google::protobuf::Struct json;
  ASSERT_TRUE(google::protobuf::util::JsonStringToMessage(text.body, &json).ok()) << text.body;
  EXPECT_EQ(json.fields().at("type").string_value(), "alert");
  const auto& inner = json.fields().at("alert").struct_value().fields();
  EXPECT_EQ(inner.at("title").string_value(), "quote \" backslash \\ newline \n 櫓 \uFFFD");
  EXPECT_EQ(inner.at("severity").string_value(), "HIGH");
  EXPECT_EQ(inner.at("eventCount").number_value(), 42);
  EXPECT_EQ(inner.at("sampleLines").list_value().values(0).string_value(), alert.sample_lines(0));
}

}  // namespace
}  // namespace yagura::notification
