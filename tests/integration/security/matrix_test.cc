// Every method of every service, called by every role, in its own and in a foreign tenant.

#include <cstdlib>
#include <filesystem>
#include <map>
#include <set>

#include "gmock/gmock.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/dynamic_message.h"
#include "grpcpp/generic/generic_stub.h"
#include "grpcpp/support/proto_buffer_reader.h"
#include "gtest/gtest.h"

#include "common/auth/principal.h"
#include "common/text/text.h"
#include "tests/e2e/suite_process.h"
#include "yagura/archive/v1/archive_service.pb.h"
#include "yagura/archive/v1/legal_hold_service.pb.h"
#include "yagura/archive/v1/proof_service.pb.h"
#include "yagura/audit/v1/audit_service.pb.h"
#include "yagura/config/v1/config_service.pb.h"
#include "yagura/coverage/v1/coverage_service.pb.h"
#include "yagura/detection/v1/detection_service.pb.h"
#include "yagura/directory/v1/directory_service.grpc.pb.h"
#include "yagura/ingestion/v1/ingestion_service.pb.h"
#include "yagura/notification/v1/notification_service.pb.h"
#include "yagura/options/v1/options.pb.h"
#include "yagura/reporting/v1/reporting_service.pb.h"
#include "yagura/ticketing/v1/ticketing_service.pb.h"

namespace yagura {
namespace {

using directory::v1::DirectoryService;
using google::protobuf::Descriptor;
using google::protobuf::DynamicMessageFactory;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::MethodDescriptor;

struct Method {
  const MethodDescriptor* descriptor;
  std::string path;
  std::string permission;
};

// Every *_service.proto; the test below compares it with the folder.
std::vector<const google::protobuf::FileDescriptor*> ServiceFiles() {
  return {archive::v1::SearchEventsRequest::descriptor()->file(),
          archive::v1::GetLegalHoldRequest::descriptor()->file(),
          archive::v1::VerifyEventsRequest::descriptor()->file(),
          audit::v1::ListRecordsRequest::descriptor()->file(),
          config::v1::GetDeviceRequest::descriptor()->file(),
          coverage::v1::ListCoverageRequest::descriptor()->file(),
          detection::v1::GetFindingRequest::descriptor()->file(),
          directory::v1::GetTenantRequest::descriptor()->file(),
          ingestion::v1::PushRequest::descriptor()->file(),
          notification::v1::GetAlertRequest::descriptor()->file(),
          reporting::v1::GetReportRequest::descriptor()->file(),
          ticketing::v1::GetTicketRequest::descriptor()->file()};
}

std::vector<Method> AllMethods() {
  std::vector<Method> methods;
  for (const auto* file : ServiceFiles()) {
    for (int s = 0; s < file->service_count(); ++s) {
      for (int m = 0; m < file->service(s)->method_count(); ++m) {
        const auto* method = file->service(s)->method(m);
        methods.push_back({method, "/" + file->service(s)->full_name() + "/" + method->name(),
                           method->options().GetExtension(options::v1::permission)});
      }
    }
  }
  return methods;
}

// The references that put a request into a tenant: parent, name, or the name of the resource in it.
bool PutIntoTenant(Message& request, const std::string& tenant) {
  const auto& reflection = *request.GetReflection();
  bool placed = false;
  for (int i = 0; i < request.GetDescriptor()->field_count(); ++i) {
    const auto* field = request.GetDescriptor()->field(i);
    if (field->is_repeated()) continue;
    if (field->cpp_type() == FieldDescriptor::CPPTYPE_STRING && field->name() == "parent") {
      reflection.SetString(&request, field, "tenants/" + tenant);
      placed = true;
    } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_STRING && field->name() == "name") {
      reflection.SetString(&request, field, "tenants/" + tenant + "/things/x");
      placed = true;
    }
  }
  const bool update = request.GetDescriptor()->FindFieldByName("update_mask") != nullptr;
  for (int i = 0; update && i < request.GetDescriptor()->field_count(); ++i) {
    const auto* field = request.GetDescriptor()->field(i);
    if (field->message_type() == nullptr || field->is_repeated()) continue;
    auto* resource = reflection.MutableMessage(&request, field);
    const auto* name = resource->GetDescriptor()->FindFieldByName("name");
    if (name != nullptr && name->cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
      resource->GetReflection()->SetString(resource, name, "tenants/" + tenant + "/things/x");
      placed = true;
    }
  }
  return placed;
}

class Caller {
 public:
  explicit Caller(cli::Client client) : client_(std::move(client)), stub_(client_.channel()) {}

  // The first answer's status: streams are cancelled once they have begun to answer.
  grpc::Status Call(const Method& method, const Message& request) {
    EXPECT_TRUE(client_.RefreshToken().ok());
    grpc::ClientContext context;
    client_.Prepare(context);
    // A watch that was let in answers when something changes: here, never. Its deadline says so.
    const bool endless = method.descriptor->server_streaming();
    context.set_deadline(std::chrono::system_clock::now() +
                         (endless ? std::chrono::milliseconds(300) : std::chrono::seconds(20)));
    grpc::CompletionQueue queue;
    const auto call = stub_.PrepareCall(&context, method.path, &queue);
    grpc::ByteBuffer out;
    bool own = false;
    EXPECT_TRUE(
        (grpc::GenericSerialize<grpc::ProtoBufferWriter, Message>(request, &out, &own).ok()));
    call->StartCall(Tag(1));
    Await(queue);
    call->WriteLast(out, grpc::WriteOptions(), Tag(2));
    Await(queue);
    grpc::ByteBuffer in;
    call->Read(&in, Tag(3));
    // An answer proves that we were let in; a stream without end is ended by us.
    if (Await(queue) && method.descriptor->server_streaming()) context.TryCancel();
    grpc::Status status;
    call->Finish(&status, Tag(4));
    Await(queue);
    queue.Shutdown();
    return status;
  }

 private:
  static void* Tag(intptr_t number) { return reinterpret_cast<void*>(number); }
  static bool Await(grpc::CompletionQueue& queue) {
    void* tag = nullptr;
    bool ok = false;
    EXPECT_TRUE(queue.Next(&tag, &ok));
    return ok;
  }

  cli::Client client_;
  grpc::GenericStub stub_;
};

class SecurityMatrix : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    suite_ = new e2e::SuiteProcess();
    auto admin = suite_->Connect();
    for (const char* tenant : {"acme", "globex"}) {
      directory::v1::CreateTenantRequest request;
      request.set_tenant_id(tenant);
      request.mutable_tenant()->set_display_name(tenant);
      ASSERT_TRUE(admin.Call(&DirectoryService::Stub::CreateTenant, request).ok());
    }
  }
  static void TearDownTestSuite() {
    delete suite_;
    suite_ = nullptr;
  }

  // A key of `role` over the tenant acme alone.
  static std::string KeyOf(const std::string& role) {
    auto admin = suite_->Connect();
    directory::v1::CreateApiKeyRequest request;
    request.set_parent("tenants/acme");
    auto& grant = *request.mutable_api_key()->add_roles();
    grant.set_role(role);
    const auto response = admin.Call(&DirectoryService::Stub::CreateApiKey, request);
    EXPECT_TRUE(response.ok()) << role << ": " << response.status();
    return response.ok() ? response->secret() : "";
  }

  static std::unique_ptr<Message> NewRequest(DynamicMessageFactory& factory, const Method& method) {
    return std::unique_ptr<Message>(factory.GetPrototype(method.descriptor->input_type())->New());
  }

  static e2e::SuiteProcess* suite_;
};

e2e::SuiteProcess* SecurityMatrix::suite_ = nullptr;

TEST(SecurityMatrixFiles, EveryServiceIsWalked) {
  const char* source = std::getenv("YAGURA_SOURCE_DIR");
  const std::filesystem::path protos = std::filesystem::path(source ? source : ".") / "protos";
  std::set<std::string> there;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(protos / "yagura")) {
    if (!entry.path().string().ends_with("_service.proto")) continue;
    there.insert(std::filesystem::relative(entry.path(), protos).string());
  }
  std::set<std::string> walked;
  for (const auto* file : ServiceFiles()) walked.insert(file->name());
  EXPECT_EQ(walked, there);
}

TEST_F(SecurityMatrix, EveryMethodNamesItsPermissionAndPublicOnesAreFew) {
  std::set<std::string> open;
  for (const auto& method : AllMethods()) {
    EXPECT_FALSE(method.permission.empty()) << method.path;
    if (method.permission == "PUBLIC") open.insert(method.descriptor->name());
  }
  EXPECT_THAT(open, ::testing::UnorderedElementsAre("Login", "ExchangeApiKey", "GetSigningKeys"));
}

TEST_F(SecurityMatrix, WithoutATokenNothingButThePublicMethodsAnswers) {
  DynamicMessageFactory factory;
  const auto channel = suite_->Connect().channel();
  for (const auto& method : AllMethods()) {
    if (method.permission == "PUBLIC" || method.descriptor->client_streaming() ||
        method.descriptor->server_streaming()) {
      continue;
    }
    auto request = NewRequest(factory, method);
    PutIntoTenant(*request, "acme");
    grpc::GenericStub stub(channel);
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    grpc::ByteBuffer out;
    bool own = false;
    ASSERT_TRUE(
        (grpc::GenericSerialize<grpc::ProtoBufferWriter, Message>(*request, &out, &own).ok()));
    grpc::CompletionQueue queue;
    const auto call = stub.PrepareUnaryCall(&context, method.path, out, &queue);
    call->StartCall();
    grpc::ByteBuffer in;
    grpc::Status status;
    call->Finish(&in, &status, nullptr);
    void* tag = nullptr;
    bool ok = false;
    queue.Next(&tag, &ok);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAUTHENTICATED) << method.path;
  }
}

TEST_F(SecurityMatrix, EveryRoleMayDoWhatItsPermissionsSayInItsOwnTenantAndNothingElsewhere) {
  DynamicMessageFactory factory;
  int allowed = 0;
  int denied = 0;
  for (const auto& role : auth::Roles()) {
    if (role == "service") continue;  // nobody holds a key of that role
    Caller caller(suite_->Connect(KeyOf(role)));
    for (const auto& method : AllMethods()) {
      if (method.permission == "PUBLIC") continue;
      auto request = NewRequest(factory, method);
      const bool placed = PutIntoTenant(*request, "acme");
      // Disabling keys and users of this test would end it.
      const auto own = caller.Call(method, *request);
      const bool granted = auth::RoleGrants(role, method.permission);
      const bool refused = own.error_code() == grpc::StatusCode::PERMISSION_DENIED;
      EXPECT_NE(own.error_code(), grpc::StatusCode::UNAUTHENTICATED) << role << method.path;
      if (!granted) {
        EXPECT_TRUE(refused) << role << " was let into " << method.path << ": " << own.error_code()
                             << " " << own.error_message();
      } else if (placed) {
        EXPECT_FALSE(refused && own.error_message().find("permission") != std::string::npos)
            << role << " was kept from " << method.path << ": " << own.error_message();
      }
      ++(granted ? allowed : denied);
      if (!placed) continue;
      std::set<std::string> foreign_messages;
      // Also streams of messages: the tenant of each message counts.
      for (const char* tenant : {"globex", "does-not-exist"}) {
        PutIntoTenant(*request, tenant);
        const auto foreign = caller.Call(method, *request);
        if (method.descriptor->client_streaming() && foreign.ok()) continue;  // answered per batch
        EXPECT_EQ(foreign.error_code(), grpc::StatusCode::PERMISSION_DENIED)
            << role << " in " << tenant << ": " << method.path << " " << foreign.error_message();
        foreign_messages.insert(foreign.error_message());
      }
      // Whether the tenant exists cannot be told from the answer.
      EXPECT_LE(foreign_messages.size(), 1u) << role << method.path;
    }
  }
  EXPECT_GT(allowed, 100);
  EXPECT_GT(denied, 100);
}

}  // namespace
}  // namespace yagura
