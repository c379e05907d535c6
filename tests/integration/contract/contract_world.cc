#include "tests/integration/contract/contract_world.h"

#include "google/protobuf/descriptor.h"
#include "google/protobuf/util/json_util.h"
#include "grpcpp/generic/generic_stub.h"
#include "grpcpp/support/proto_buffer_reader.h"

#include "common/rpc/channels.h"
#include "yagura/config/v1/config_service.pb.h"
#include "yagura/directory/v1/directory_service.grpc.pb.h"
#include "yagura/notification/v1/notification_service.pb.h"
#include "yagura/reporting/v1/reporting_service.pb.h"
#include "yagura/ticketing/v1/ticketing_service.pb.h"

namespace yagura::contract {
namespace {

using google::protobuf::MessageFactory;
using google::protobuf::MethodDescriptor;
using google::protobuf::ServiceDescriptor;

std::vector<const ServiceDescriptor*> Services() {
  std::vector<const ServiceDescriptor*> services;
  for (const auto* file : {config::v1::GetDeviceRequest::descriptor()->file(),
                           notification::v1::GetAlertRequest::descriptor()->file(),
                           reporting::v1::GetReportRequest::descriptor()->file(),
                           ticketing::v1::GetTicketRequest::descriptor()->file()}) {
    services.push_back(file->service(0));
  }
  return services;
}

const MethodDescriptor* Find(const std::string& method) {
  const size_t slash = method.find('/');
  for (const auto* service : Services()) {
    if (service->name() != method.substr(0, slash)) continue;
    return service->FindMethodByName(method.substr(slash + 1));
  }
  return nullptr;
}

std::unique_ptr<google::protobuf::Message> New(const google::protobuf::Descriptor* type) {
  return std::unique_ptr<google::protobuf::Message>(
      MessageFactory::generated_factory()->GetPrototype(type)->New());
}

}  // namespace

std::unique_ptr<e2e::SuiteProcess> ContractTest::suite_;
std::unique_ptr<cli::Client> ContractTest::admin_;

void ContractTest::SetUpTestSuite() {
  suite_ = std::make_unique<e2e::SuiteProcess>();
  admin_ = std::make_unique<cli::Client>(suite_->Connect());
  directory::v1::CreateTenantRequest request;
  request.set_tenant_id("acme");
  request.mutable_tenant()->set_display_name("acme");
  ASSERT_TRUE(admin_->Call(&directory::v1::DirectoryService::Stub::CreateTenant, request).ok());
  directory::v1::CreateUserRequest alice;
  alice.set_parent("tenants/provider");
  alice.set_user_id("alice");
  alice.mutable_user()->set_email("alice@example.com");
  ASSERT_TRUE(admin_->Call(&directory::v1::DirectoryService::Stub::CreateUser, alice).ok());
}

void ContractTest::TearDownTestSuite() {
  admin_.reset();
  suite_.reset();
}

std::vector<std::string> ContractTest::Methods() {
  std::vector<std::string> methods;
  for (const auto* service : Services()) {
    for (int i = 0; i < service->method_count(); ++i) {
      if (service->method(i)->server_streaming()) continue;
      methods.push_back(service->name() + "/" + service->method(i)->name());
    }
  }
  return methods;
}

absl::StatusOr<std::unique_ptr<google::protobuf::Message>> ContractTest::Call(
    const std::string& method, const std::string& json) {
  const MethodDescriptor* descriptor = Find(method);
  if (descriptor == nullptr) return absl::UnimplementedError(method);
  const auto request = New(descriptor->input_type());
  const auto parsed = google::protobuf::util::JsonStringToMessage(json, request.get());
  EXPECT_TRUE(parsed.ok()) << method << " " << json << ": " << parsed.ToString();

  grpc::GenericStub stub(admin_->channel());
  grpc::ClientContext context;
  admin_->Prepare(context);
  grpc::ByteBuffer out;
  bool own = false;
  grpc::GenericSerialize<grpc::ProtoBufferWriter, Message>(*request, &out, &own);
  grpc::CompletionQueue queue;
  const auto call = stub.PrepareUnaryCall(
      &context, "/" + descriptor->service()->full_name() + "/" + descriptor->name(), out, &queue);
  call->StartCall();
  grpc::ByteBuffer in;
  grpc::Status status;
  call->Finish(&in, &status, nullptr);
  void* tag = nullptr;
  bool ok = false;
  queue.Next(&tag, &ok);
  if (!status.ok()) return rpc::FromGrpc(status);
  auto response = New(descriptor->output_type());
  grpc::ProtoBufferReader reader(&in);
  if (!response->ParseFromZeroCopyStream(&reader)) return absl::InternalError("unreadable answer");
  return response;
}

std::unique_ptr<google::protobuf::Message> ContractTest::Do(const std::string& method,
                                                            const std::string& json) {
  auto response = Call(method, json);
  EXPECT_TRUE(response.ok()) << method << " " << json << ": " << response.status();
  return response.ok() ? *std::move(response) : nullptr;
}

std::string Text(const google::protobuf::Message& message, const std::string& field) {
  const auto* descriptor = message.GetDescriptor()->FindFieldByName(field);
  return descriptor == nullptr ? "" : message.GetReflection()->GetString(message, descriptor);
}

int Count(const google::protobuf::Message& page) {
  for (int i = 0; i < page.GetDescriptor()->field_count(); ++i) {
    const auto* field = page.GetDescriptor()->field(i);
    if (field->is_repeated()) return page.GetReflection()->FieldSize(page, field);
  }
  return 0;
}

}  // namespace yagura::contract
