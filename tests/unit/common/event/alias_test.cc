#include "common/event/alias.h"

#include "gmock/gmock.h"
#include "google/protobuf/descriptor.h"
#include "gtest/gtest.h"

#include "yagura/event/v1/event.pb.h"

namespace yagura::event {
namespace {

// Every core name must be a path of the message, or filters and events would drift apart.
TEST(AliasTest, CoreNamesArePathsOfTheEventMessage) {
  for (const std::string_view name : CoreNames()) {
    const google::protobuf::Descriptor* message = v1::Event::descriptor();
    std::string_view rest = name;
    const google::protobuf::FieldDescriptor* field = nullptr;
    while (!rest.empty()) {
      ASSERT_NE(message, nullptr) << name;
      const size_t dot = rest.find('.');
      field = message->FindFieldByName(std::string(rest.substr(0, dot)));
      ASSERT_NE(field, nullptr) << name;
      message = field->message_type();
      rest = dot == rest.npos ? std::string_view{} : rest.substr(dot + 1);
    }
  }
}

TEST(AliasTest, CoreNamesLeadBackToTheirColumn) {
  EXPECT_EQ(CoreByName("src.ip"), Core::kSrcIp);
  EXPECT_EQ(CoreByName("vendor_event_id"), Core::kVendorEventId);
  EXPECT_EQ(CoreName(Core::kDstTranslatedPort), "dst.translated_port");
  EXPECT_EQ(CoreByName("srcip"), std::nullopt);
}

TEST(AliasTest, FilterNamesAreCoreNamesAndOriginalFields) {
  EXPECT_EQ(ResolveFilterName("dst.port"), (FieldPath{FieldPath::Kind::kCore, Core::kDstPort, {}}));
  EXPECT_EQ(ResolveFilterName("fields.policyid"),
            (FieldPath{FieldPath::Kind::kOriginal, {}, "policyid"}));
  EXPECT_EQ(ResolveFilterName("fields.Event.System.EventID")->original, "Event.System.EventID");
  EXPECT_EQ(ResolveFilterName("raw")->kind, FieldPath::Kind::kRaw);
  EXPECT_EQ(ResolveFilterName("fields."), std::nullopt);
  EXPECT_EQ(ResolveFilterName("policyid"), std::nullopt);
}

TEST(AliasTest, SigmaEcsAndOcsfNamesLeadToTheTypedCore) {
  for (const char* name :
       {"src_ip", "SourceIp", "source.ip", "src_endpoint.ip", "c-ip", "src.ip"}) {
    EXPECT_EQ(ResolveSigmaName(name).core, Core::kSrcIp) << name;
    EXPECT_EQ(ResolveSigmaName(name).original, name);
  }
  EXPECT_EQ(ResolveSigmaName("EventID").core, Core::kVendorEventId);
  EXPECT_EQ(ResolveSigmaName("CommandLine").core, std::nullopt);
}

}  // namespace
}  // namespace yagura::event
