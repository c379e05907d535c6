#include "common/rpc/run_service.h"
#include "services/notification/app.h"

int main(int argc, char** argv) {
  return yagura::rpc::RunService(argc, argv, "notification", yagura::notification::ReadSettings,
                                 yagura::notification::NewApp);
}
